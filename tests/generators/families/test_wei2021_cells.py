"""The memory cells against a program that draws the memory first, and against sums over memories and paths."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.exactness import EXACT
from support.oracles import HmmOracle
from support.words import assert_frequencies, generator

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.theory.conditions import chain_of, conditions

SPEC = {"family": "wei2021-cells-hmm", "cells": 2, "values": 2, "states": 2, "words": 4, "length": 4, "seed": 1}


@pytest.fixture(scope="module")
def language():
    return load_language(SPEC)


def parts(language, values=2, cells=2, states=2):
    """(start [N S], transition [N S, N S], rows {(value, cell, syntax): words}), read off the product chain."""
    local = cells * states
    emission = language.emission.reshape(values**cells, cells, states, -1).numpy()
    rows = {}
    for b, memory in enumerate(itertools.product(range(values), repeat=cells)):
        for j, s in itertools.product(range(cells), range(states)):
            row = tuple(emission[b, j, s])
            assert rows.setdefault((memory[j], j, s), row) == row
    start = language.initial.reshape(-1, local).sum(0).numpy()
    return start, language.blocks[0].numpy(), rows


def test_a_word_depends_on_the_cell_that_is_read_alone(language):
    start, transition, rows = parts(language)
    assert len(set(rows.values())) == 8
    np.testing.assert_allclose(transition.sum(0), 1, atol=1e-12)
    np.testing.assert_allclose(language.initial.reshape(4, 4).numpy(), np.tile(start / 4, (4, 1)), atol=1e-15)
    assert bool((language.blocks == language.blocks[0]).all())


def test_probabilities_by_memories_and_paths(language):
    """p(x) = sum_M 1/4 sum_paths start prod A prod W[M_J, J, S, x], without the product chain."""
    start, transition, rows = parts(language)
    strings = list(itertools.product(range(4), repeat=4))
    tokens = torch.tensor(strings)
    found = language.log_prob(tokens).exp()
    for string, p in list(zip(strings, found.tolist(), strict=True))[::17]:
        total = 0.0
        for memory in itertools.product(range(2), repeat=2):
            for path in itertools.product(range(4), repeat=4):
                q = start[path[0]] / 4
                for t, z in enumerate(path):
                    q *= rows[memory[z // 2], z // 2, z % 2][string[t]]
                    q *= transition[path[t - 1], z] if t else 1.0
                total += q
        assert p == pytest.approx(total, rel=1e-9, abs=1e-30)
    assert float(found.sum()) == pytest.approx(1)


def test_labels_are_the_posterior_of_one_cell(language):
    """W p(M_1 | x), with p(M_1 | x) summed over the memories that agree on the first cell."""
    oracle = HmmOracle(language.initial, language.transition, language.emission, 4)
    sentences = language.sample(30, generator(2))
    weights = language.readout.weights[:, [0, 8]].numpy()
    assert bool((language.readout.weights[:, :8] == language.readout.weights[:, :1]).all())
    for string, label in zip(sentences.tokens.tolist(), language.tasks["posterior"].labels(sentences), strict=True):
        memory = oracle.posterior(string)[0].reshape(2, 8).sum(1)
        assert int((weights @ memory).argmax()) == int(label)


def test_sampled_frequencies(language):
    sentences = language.sample(30_000, generator(4))
    probabilities = HmmOracle(language.initial, language.transition, language.emission, 4).enumeration().probabilities
    assert_frequencies([tuple(row) for row in sentences.tokens.tolist()], probabilities)


def test_the_memory_task_and_the_file(language, tmp_path):
    sentences = language.sample(50, generator())
    labels = language.tasks["memory"].labels(sentences)
    assert torch.equal(labels, sentences.latents["states"][:, 0] // 4)
    assert bool((sentences.latents["states"] // 4 == labels[:, None]).all())
    back = load_language(language.save(str(tmp_path / "chain")))
    assert back.fingerprint() == language.fingerprint()
    torch.testing.assert_close(back.blocks, language.blocks, **EXACT)


def test_the_condition_looks_at_the_cell_that_is_asked_for():
    """Only the states of cell 1 are informative for a task about cell 1."""
    language = load_language(SPEC | {"words": 10, "length": 20, "cell": 2})
    verdict = conditions["memory-cell"]().check(chain_of(language, language.tasks["posterior"]))
    assert verdict.more["informative"] == 2
    assert verdict.more["state"] in (3, 4)
    assert math.isfinite(verdict.value)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"values": 1}, "1 values.*at least 2 values"),
        ({"cells": 0}, "0 cells"),
        ({"task_words": 0}, "task_words 0"),
        ({"cell": 3}, "cell is 3, expected 1 to 2"),
        ({"cells": 60}, "expected at most"),
        ({"cells": 10**9}, "expected at most"),
    ],
)
def test_what_cannot_be_made(change, match):
    with pytest.raises(InputError, match=match) as error:
        load_language(SPEC | change)
    assert "\n" not in str(error.value)
