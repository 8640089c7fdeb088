"""The published sizes as they are printed, and their numbers of parameters against formulas and built models."""

import math
import resource

import pytest
import torch
from support.networks import grammar_language
from support.untouched import untouched

from satlab.errors import InputError
from satlab.models import build_model
from satlab.models.build import make_model
from satlab.models.ladder import BERT_ROWS, Size, count_parameters, ladder, nearest
from satlab.models.networks.bert import BertNetwork
from satlab.models.widen import check_larger

# d-model, n-head, layers, d-inter
PRINTED_3 = """
64 1 1 256
128 2 4 512
192 3 5 768
256 4 6 1024
512 8 8 2048
768 12 12 3072
1024 16 16 4096
1280 20 20 5120
1536 24 24 6144
"""
PRINTED_4 = """
128 2 4 512
192 3 5 768
320 5 6 1024
384 6 7 2048
640 10 12 3072
960 15 16 4096
1920 30 20 5120
"""
MEBI = 2**20


def printed(text):
    return {tuple(map(int, line.split())) for line in text.split("\n") if line}


def rows_of(table, kind="bert"):
    return {
        (row.width, row.heads, row.layers, row.published_inner) for row in ladder(kind) if table in row.where.split()
    }


@pytest.mark.parametrize("kind", ["bert", "bert-post", "gpt"])
def test_the_transformers_are_those_of_the_two_tables(kind):
    assert rows_of("3", kind) == printed(PRINTED_3)
    assert rows_of("4", kind) == printed(PRINTED_4)
    assert len(ladder(kind)) == 14
    assert [row.width for row in ladder(kind)] == sorted({row.width for row in ladder(kind)})


def test_d_inter_is_four_times_the_width_and_the_changed_rows_are_named():
    assert all(row.inner == 4 * row.width for row in ladder("bert"))
    assert {row.width for row in ladder("bert") if row.changed} == {320, 384, 640, 960, 1920}
    for row in ladder("bert"):
        model = meta(row.name)
        assert {block.up.out_features for block in model.blocks} == {row.inner}
        assert {block.attention.heads for block in model.blocks} == {row.heads}
        assert len(model.blocks) == row.layers


@pytest.mark.parametrize("kind", ["lstm", "lstm-residual"])
def test_the_recurrent_sizes_are_the_two_lists_in_their_order(kind):
    pairs = [(row.width, row.layers) for row in ladder(kind)]
    assert pairs == list(zip([128, 256, 512, 768, 1024], [4, 6, 8, 12, 16], strict=True))
    assert all(
        (row.heads, row.inner, row.published_inner, row.changed) == (None, None, None, False) for row in ladder(kind)
    )
    assert ladder(kind)[0].name == f"{kind}-4x128"


def test_the_small_models_of_table_4_fit_into_the_largest_and_others_may_not():
    for row in ladder("bert"):
        if "4" in row.where.split():
            check_larger(row.name, "bert-20x1920")
    with pytest.raises(InputError, match="width 1920 is not a multiple of 256"):
        check_larger("bert-6x256", "bert-20x1920")


def meta(name, vocab_size=200, max_length=32):
    with torch.device("meta"):
        return make_model(name, vocab_size, max_length)


SMALL = ["bert-2x64", "bert-post-3x32", "gpt-2x128", "lstm-1x8", "lstm-3x16", "lstm-residual-2x24"]


@pytest.mark.parametrize("name", SMALL)
def test_counts_are_those_of_the_built_model(name):
    language = grammar_language()
    V, T, model = language.vocab_size, language.max_length, build_model(name, language)
    count = count_parameters(name, V, T)
    assert count.total == sum(parameter.numel() for parameter in model.parameters())
    d = model.feature_size
    positions = 0 if name.startswith("lstm") else (T + 1) * d
    assert count.embeddings == (V + 3) * d + positions
    assert count.without_embeddings == count.total - count.embeddings


@pytest.mark.parametrize("kind", ["bert", "bert-post", "gpt", "lstm", "lstm-residual"])
@pytest.mark.parametrize(("layers", "width", "words", "length"), [(1, 1, 1, 1), (2, 8, 30, 5), (3, 128, 7, 40)])
def test_the_formula_is_what_is_built(kind, layers, width, words, length):
    model = meta(f"{kind}-{layers}x{width}", words, length)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    read = {name for name in sizes if model.parameter_block(name) in ("embedding", "position")}
    count = count_parameters(f"{kind}-{layers}x{width}", words, length)
    assert (count.total, count.embeddings) == (sum(sizes.values()), sum(sizes[name] for name in read))


def layer_size(kind, layers, d):
    """Parameters of all layers, written out."""
    norm = 2 * d
    if kind == "bert":
        return layers * (4 * (d * d + d) + (4 * d * d + 4 * d) + (4 * d * d + d) + 2 * norm) + norm
    direction = [
        4 * d * (d if kind == "lstm-residual" or layer == 0 else 2 * d) + 4 * d * d + 8 * d for layer in range(layers)
    ]
    join = 2 * d * d + d
    return 2 * sum(direction) + (join if kind == "lstm" else layers * (join + norm) + norm)


@pytest.mark.parametrize("kind", ["bert", "lstm", "lstm-residual"])
def test_counts_of_the_whole_ladder_are_those_of_a_formula(kind):
    for row in ladder(kind):
        count = count_parameters(row.name, 200, 32)
        assert count.without_embeddings == layer_size(kind, row.layers, row.width) + 200
        assert count.embeddings == row.width * (203 + (33 if kind == "bert" else 0))


@pytest.mark.parametrize(("name", "millions"), [("bert-1x64", 2), ("bert-16x1024", 235), ("bert-24x1536", 730)])
def test_with_what_else_bert_has_the_count_is_the_one_that_the_paper_quotes(name, millions):
    """Its 30,522 words, 512 positions, two segments, a normalised embedding, the pooler and the head's transform."""
    d = int(name.split("x")[1])
    ours = count_parameters(name, BERT_ROWS - 3, 511).total
    more = 2 * d + 2 * d + (d * d + d) + (d * d + d + 2 * d)
    assert round((ours + more) / 1e6, 0 if millions < 300 else -1) == millions


def test_counting_allocates_nothing():
    count_parameters("bert-1x64", 200, 32)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert count_parameters("bert-20x1920", 200, 32).total == 885_692_360
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * MEBI / 1024
    assert all(parameter.is_meta for parameter in meta("bert-20x1920").parameters())


def test_counting_leaves_the_global_random_state_alone():
    with untouched():
        count_parameters("lstm-residual-4x128", 50, 8)


def test_a_name_of_no_model_is_answered_with_a_right_one():
    with pytest.raises(InputError, match="did you mean 'bert'"):
        count_parameters("brt-1x64", 200, 32)
    with pytest.raises(InputError, match="for example bert-2x128"):
        count_parameters("bert-2x100", 200, 32)


def test_the_nearest_row_is_the_fewest_doublings_away():
    assert nearest("bert", 12, 768, lambda layers, width: True) == Size(BertNetwork(12, 768), "Table 3", 3072)
    for layers, width in ((1, 16), (3, 200), (9, 400), (30, 4000), (20, 640)):
        for least in (0, 5, 12):
            found = nearest("bert", layers, width, lambda some, _, least=least: some >= least)
            allowed = [row for row in ladder("bert") if row.layers >= least]
            distance = {
                row.name: abs(math.log(row.width / width)) + abs(math.log(row.layers / layers)) for row in allowed
            }
            assert distance[found.name] == min(distance.values())
    assert nearest("lstm", 1, 128, lambda layers, width: layers == 1) is None
