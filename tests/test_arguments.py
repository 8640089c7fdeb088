"""What public functions of Python say of arguments of the wrong kind: one InputError that names what was given."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from satlab.errors import InputError
from satlab.flatness import (
    Problem,
    hessian_trace,
    rescaled,
    sharpness,
    top_eigenvalues,
    trace_under_rescaling,
)
from satlab.generators import PCFG, load_language
from satlab.generators.tasks import find_task
from satlab.lab.runs.run import create_run, load_run
from satlab.models import LanguageModel, build_model, check_masking, save_model
from satlab.probes import concatenated_features, fine_tune, frozen_probes, linear_probe, majority_class
from satlab.probes.optimum import Optimum
from satlab.probes.samples import Samples
from satlab.randomness import random_stream
from satlab.theory import Subject
from satlab.train import Adversary, HeldOut, TrainConfig, Trainer, kl_to_truth, masked_loss

HMM = load_language("demo-hmm")
SMALL = build_model("bert-1x8", HMM)
TWO_WORDS = PCFG.from_string("S -> 'a' S [0.6] | 'b' [0.4]", 4)


def drawn(language, n=6):
    return language.sample(n, torch.Generator().manual_seed(0))


WRONG = {
    "steps": (lambda: TrainConfig(steps=20.5), "steps is 20.5, expected an integer; correct it"),
    "steps as text": (lambda: TrainConfig(steps="20"), "steps is '20', expected an integer"),
    "steps as truth": (lambda: TrainConfig(steps=True), "steps is True, expected an integer"),
    "seed": (lambda: TrainConfig(seed=1.5), "seed is 1.5, expected an integer"),
    "negative seed": (lambda: TrainConfig(seed=-1), "seed is -1, expected at least 0"),
    "checkpoints": (lambda: TrainConfig(checkpoints=(2.5,)), "checkpoints is 2.5, expected an integer"),
    "betas": (lambda: TrainConfig(betas=(0.9,)), r"betas is \(0.9,\), expected 2 values"),
    "batch": (lambda: TrainConfig(batch_size=8.5), "batch_size is 8.5, expected an integer"),
    "rate": (lambda: TrainConfig(lr="high"), "lr is 'high', expected a number"),
    "stream's seed": (lambda: random_stream(1.5, "corpus"), "seed is 1.5, expected an integer"),
    "stream": (lambda: random_stream(0, "x"), "unknown random stream 'x', expected one of language, corpus"),
    "model": (lambda: build_model(None, HMM), "model is None, expected a string"),
    "task": (lambda: find_task(HMM, 3), "task is 3, expected a string"),
    "masking": (lambda: HMM.loss_floor(5, torch.Generator(), 0.15), "masking is 0.15, expected a string"),
    "decode": (lambda: HMM.decode(drawn(HMM).tokens), "sentences are of type Tensor, expected Sentences"),
    "trace": (lambda: hessian_trace(build_model("bert-1x8", HMM), drawn(HMM).tokens), "of type Tensor, expected Sent"),
    "log_prob": (lambda: HMM.log_prob(drawn(HMM)), "tokens are Sentences, expected their tokens; give sentences.tok"),
    "device": (lambda: HMM.to("gpu"), "device is 'gpu', expected cpu or, with a GPU, cuda"),
    "no path": (lambda: HMM.save(None), "path is 'None', expected the path of a file"),
    "directory": (
        lambda: HMM.save("/tmp/"),
        "path is '/tmp/', expected the path of a file without its suffix",
    ),
    "more words": (
        lambda: hessian_trace(build_model("bert-1x8", TWO_WORDS), drawn(HMM)),
        "the sentences hold token .*, but model 'bert-1x8' has 2 words, expected tokens 0 to 1 and padding 2",
    ),
    "model by name": (lambda: linear_probe("bert-1x8", HMM, "state-1"), "model is 'bert-1x8', expected a model; give"),
    "model's class": (lambda: hessian_trace(LanguageModel, drawn(HMM)), "model is <class .*, expected a model"),
    "language's number": (lambda: build_model("bert-1x8", 3), "language is 3, expected a language or its name; give"),
    "no language": (lambda: build_model("bert-1x8", None), "language is None, expected a language or its name"),
    "language of no preset": (lambda: find_task("demo-hm", "state-1"), "did you mean 'demo-hmm'"),
    "model as language": (
        lambda: fine_tune(SMALL, SMALL, "state-1"),
        "language is .*, expected a language or its name",
    ),
    "task's number": (lambda: fine_tune(SMALL, HMM, 3), "task is 3, expected a task or its name"),
    "task of no name": (lambda: majority_class(HMM, "stat-1"), "unknown task 'stat-1': did you mean 'state-1'"),
    "sentences by name": (lambda: top_eigenvalues(SMALL, "demo-hmm"), "sentences are of type str, expected Sentences"),
    "features": (lambda: concatenated_features("bert-1x8", drawn(HMM)), "model is 'bert-1x8', expected a model"),
    "rescaled": (lambda: rescaled("bert-1x8", 2.0), "model is 'bert-1x8', expected a model"),
    "sharpness": (lambda: sharpness(SMALL, HMM), "sentences are of type HMM, expected Sentences"),
    "rescaling": (lambda: trace_under_rescaling("bert-1x8", drawn(HMM)), "model is 'bert-1x8', expected a model"),
    "problem": (lambda: Problem("demo-hmm"), "sentences are of type str, expected Sentences"),
    "subject": (lambda: Subject("bert-1x8", HMM), "model is 'bert-1x8', expected a model"),
    "trainer": (lambda: Trainer("bert-1x8", HMM, TrainConfig(), "r"), "model is 'bert-1x8', expected a model"),
    "trainer's settings": (
        lambda: Trainer(SMALL, HMM, "fast", "r"),
        "config is 'fast', expected the settings of train",
    ),
    "held out": (
        lambda: HeldOut("demo-hmm", {"steps": 3}),
        "config is {'steps': 3}, expected the settings of training",
    ),
    "adversary": (lambda: Adversary(SMALL, HMM, 3, TrainConfig()), "task is 3, expected a task or its name"),
    "kl's model": (lambda: kl_to_truth("bert-1x8", None), "model is 'bert-1x8', expected a model"),
    "kl's set": (lambda: kl_to_truth(SMALL, drawn(HMM)), "evaluation is .*, expected a held-out set with its truth"),
    "loss's batch": (lambda: masked_loss(SMALL, drawn(HMM)), "batch is .*, expected a batch of sentences with hidden"),
    "model to check": (lambda: check_masking("bert-1x8", "one"), "model is 'bert-1x8', expected a model"),
    "model to save": (lambda: save_model("bert-1x8", "folder"), "model is 'bert-1x8', expected a model"),
    "other padding": (
        lambda: hessian_trace(build_model("bert-1x8", HMM), drawn(TWO_WORDS)),
        "the sentences hold padding 2, but model 'bert-1x8' has .* words",
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


def test_numbers_of_any_class_become_floats_and_are_written_as_such(tmp_path):
    config = TrainConfig(lr=np.float32(0.5), betas=(np.float64(0.5), 0.25), steps=3, optimizer="muon", warmup=0)
    assert {type(config.lr), *map(type, config.betas)} == {float}
    assert type(config.warmup) is int
    more = replace(config, optimizer_settings={"ns_steps": np.int64(3), "matrix_lr": np.float32(0.25)})
    source = {"preset": "demo-hmm", "length": np.int64(4)}
    create_run(tmp_path / "r", source, "bert-1x8", more)
    assert load_run(tmp_path / "r").config.optimizer_settings == {"ns_steps": 3, "matrix_lr": 0.25}
    assert load_language(source, np.uint8(3)).max_length == 3
    with pytest.raises(InputError, match=r"^max_length is '3', expected an integer"):
        load_language("demo-hmm", "3")


def test_a_forgotten_quote_is_guessed():
    with pytest.raises(InputError, match=r"have the word 'a \[0.5\] \| '; if a quote is missing before this word"):
        PCFG.from_string("S -> 'a [0.5] | 'b' [0.5]")


def test_a_language_without_tasks_offers_kinds_with_settings():
    language = PCFG.from_string("S -> 'a' S [0.4] | 'b' [0.6]", 4)
    with pytest.raises(InputError, match=r"unknown task 'A'.*NAME:setting=value with one of inside, tree"):
        find_task(language, "A")


FEW = {"train_sentences": 20, "test_sentences": 20, "seeds": 1}
BY_NAME = {
    "build_model": lambda language, task: build_model("bert-1x8", language).state_dict(),
    "find_task": lambda language, task: find_task(language, "state-1").name,
    "linear_probe": lambda language, task: linear_probe(SMALL, language, task, **FEW),
    "frozen_probes": lambda language, task: frozen_probes(
        SMALL, language, task, {"": Optimum(1e-2)}, samples=Samples(**FEW)
    ),
    "majority_class": lambda language, task: majority_class(language, task, **FEW),
    "trace": lambda language, task: hessian_trace(
        SMALL, drawn(HMM), "hutchinson", probes=2, targets="exact", language=language
    ),
    "held out": lambda language, task: (
        HeldOut(language, TrainConfig(masking="one", evaluation_sentences=20)).measure(SMALL).kl
    ),
    "trainer": lambda language, task: Trainer(
        SMALL, language, TrainConfig(evaluation_sentences=20), "r"
    ).language.fingerprint(),
    "adversary": lambda language, task: Adversary(SMALL, language, task, TrainConfig()).task.name,
    "subject": lambda language, task: Subject(SMALL, language).language.fingerprint(),
}


@pytest.mark.parametrize("case", BY_NAME)
def test_a_language_and_a_task_may_be_given_by_name(case):
    named, given = BY_NAME[case]("demo-hmm", "state-1"), BY_NAME[case](HMM, find_task(HMM, "state-1"))
    if case == "build_model":
        assert named.keys() == given.keys()
        assert all(torch.equal(named[key], given[key]) for key in given)
    else:
        assert repr(named) == repr(given)
