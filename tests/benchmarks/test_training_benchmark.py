"""The benchmark of training: both sides take a step, and count the words that are not padding."""

import argparse

from support.benchmark_scripts import loaded

from satlab.generators import load_language


def test_both_sides_count_the_same_words():
    language = load_language("demo-hmm")
    with loaded("training") as benchmark:
        config = benchmark.settings(argparse.Namespace(precision="float32", compile=False), 4)
        for side in (benchmark.ours, benchmark.hugging_face):
            assert side("bert-post-1x64", language, config, "cpu")() == 4 * language.max_length
