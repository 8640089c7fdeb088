"""What public functions of Python say of arguments of the wrong kind: one InputError that names what was given."""

import numpy as np
import pytest
import torch

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.generators import PCFG, load_language
from satlab.generators.tasks import find_task
from satlab.models import build_model
from satlab.randomness import random_stream
from satlab.train import TrainConfig

HMM = load_language("demo-hmm")
TWO_WORDS = PCFG.from_string("S -> 'a' S [0.6] | 'b' [0.4]", 4)


def drawn(language, n=6):
    return language.sample(n, torch.Generator().manual_seed(0))


WRONG = {
    "steps": (lambda: TrainConfig(steps=20.5), "steps is 20.5, expected a whole number; correct it"),
    "steps as text": (lambda: TrainConfig(steps="20"), "steps is '20', expected a whole number"),
    "steps as truth": (lambda: TrainConfig(steps=True), "steps is True, expected a whole number"),
    "seed": (lambda: TrainConfig(seed=1.5), "seed is 1.5, expected a whole number"),
    "negative seed": (lambda: TrainConfig(seed=-1), "seed is -1, expected at least 0"),
    "checkpoints": (lambda: TrainConfig(checkpoints=(2.5,)), "checkpoints is 2.5, expected a whole number"),
    "betas": (lambda: TrainConfig(betas=(0.9,)), r"betas is \(0.9,\), expected 2 values"),
    "batch": (lambda: TrainConfig(batch_size=8.5), "batch_size is 8.5, expected a whole number"),
    "rate": (lambda: TrainConfig(lr="high"), "lr is 'high', expected a number"),
    "stream's seed": (lambda: random_stream(1.5, "corpus"), "seed is 1.5, expected a whole number"),
    "stream": (lambda: random_stream(0, "x"), "unknown random stream 'x', expected one of language, corpus"),
    "model": (lambda: build_model(None, HMM), "model is None, expected a text"),
    "task": (lambda: find_task(HMM, 3), "task is 3, expected a text"),
    "masking": (lambda: HMM.loss_floor(5, torch.Generator(), 0.15), "masking is 0.15, expected a text"),
    "decode": (lambda: HMM.decode(drawn(HMM).tokens), "sentences are of type Tensor, expected Sentences"),
    "trace": (lambda: hessian_trace(build_model("bert-1x8", HMM), drawn(HMM).tokens), "of type Tensor, expected Sent"),
    "log_prob": (lambda: HMM.log_prob(drawn(HMM)), "tokens are Sentences, expected their tokens; give sentences.tok"),
    "device": (lambda: HMM.to("gpu"), "device is 'gpu', expected cpu, or cuda with a GPU"),
    "no path": (lambda: HMM.save(None), "path is 'None', expected that of a file"),
    "directory": (
        lambda: HMM.save("/tmp/"),
        "path is '/tmp/', expected that of a file, without its suffix",
    ),
    "more words": (
        lambda: hessian_trace(build_model("bert-1x8", TWO_WORDS), drawn(HMM)),
        "the sentences hold the token .*, but model 'bert-1x8' has 2 words, expected tokens 0 to 1 and padding 2",
    ),
    "other padding": (
        lambda: hessian_trace(build_model("bert-1x8", HMM), drawn(TWO_WORDS)),
        "the sentences hold the padding 2, but model 'bert-1x8' has .* words",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_argument_is_named(case):
    call, message = WRONG[case]
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_whole_numbers_of_any_class_become_ints():
    config = TrainConfig(steps=np.int64(7), checkpoints=[np.int32(3)], seed=np.uint8(2))
    assert (config.steps, config.checkpoints, config.seed) == (7, [3], 2)
    assert {type(config.steps), type(config.checkpoints[0]), type(config.seed)} == {int}


def test_a_forgotten_quote_is_guessed():
    with pytest.raises(InputError, match=r"have the word 'a \[0.5\] \| ': is a quote missing before it"):
        PCFG.from_string("S -> 'a [0.5] | 'b' [0.5]")


def test_a_language_without_tasks_offers_kinds_with_settings():
    language = PCFG.from_string("S -> 'a' S [0.4] | 'b' [0.6]", 4)
    with pytest.raises(InputError, match=r"unknown task 'A'.*NAME:setting=value with one of inside, tree"):
        find_task(language, "A")
