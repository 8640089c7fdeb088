"""HMMs against sums over all state paths, over all strings, and against hmmlearn."""

import itertools
import math

import numpy as np
import pytest
import torch
from hmmlearn.hmm import CategoricalHMM
from support.exactness import EXACT, assert_conditionals, assert_log_prob, assert_loss_floor, some_of
from support.oracles import HmmOracle, dense
from support.random_languages import NUM_HMMS, random_hmm_arrays
from support.words import assert_frequencies, encode, generator

from satlab.errors import InputError
from satlab.generators import HMM, random_hmm

STRINGS = 30
"""Strings of a language whose conditionals and posteriors are compared."""


@pytest.fixture(scope="module", params=range(NUM_HMMS))
def pair(request):
    """(language, oracle, enumeration of all strings, some of the possible strings, a random hidden set for each)."""
    initial, transition, emission, length = random_hmm_arrays(request.param)
    oracle = HmmOracle(initial, transition, emission, length)
    enumeration = oracle.enumeration()
    rng = np.random.default_rng([request.param, 3])
    strings = some_of(enumeration.probabilities, STRINGS, rng)
    hidden = torch.from_numpy(rng.random((len(strings), length)) < 0.5)
    return HMM(initial, transition, emission, length), oracle, enumeration, strings, hidden


def test_log_prob_is_the_sum_over_all_paths(pair):
    language, oracle, enumeration, _, _ = pair
    strings = list(itertools.product(range(language.vocab_size), repeat=oracle.length))
    assert_log_prob(language, enumeration, strings, whole=True)
    assert enumeration.total == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("hide", ["nothing", "several", "everything"])
def test_conditional_is_that_of_all_strings(pair, hide):
    language, _, enumeration, strings, several = pair
    hidden = {"nothing": several & False, "several": several, "everything": several | True}[hide]
    assert_conditionals(language, enumeration, strings, hidden)


def test_posterior_is_that_of_all_paths(pair):
    language, oracle, _, strings, several = pair
    tokens, _ = encode(language, strings)
    for hidden in (torch.zeros_like(several), several):
        expected = np.stack([oracle.posterior(s, h) for s, h in zip(strings, hidden.tolist(), strict=True)])
        torch.testing.assert_close(language.posterior(tokens, None, hidden), torch.from_numpy(expected), **EXACT)


def test_only_one_length_is_possible(pair):
    language, oracle, _, strings, _ = pair
    assert language.length_log_prob.tolist() == [-math.inf] * oracle.length + [0.0]
    tokens, _ = encode(language, [(*strings[0], strings[0][0])])
    assert language.log_prob(tokens).tolist() == [-math.inf]
    with pytest.raises(InputError, match=f"sentence 0 has {oracle.length + 1} words.*expected {oracle.length};"):
        language.conditional(tokens)


def test_hard_zeros_stay_zero_and_make_sentences_impossible():
    """Emission of word 1 from the only state of the first position is zero."""
    language = HMM([1, 0], [[0.5, 0.5], [0, 1]], [[1, 0], [0.25, 0.75]], 2)
    assert language.log_prob(torch.tensor([[1, 0], [0, 0]])).tolist() == [-math.inf, math.log(0.5 + 0.5 * 0.25)]
    with pytest.raises(InputError, match="sentence 1 is impossible"):
        language.conditional(torch.tensor([[0, 0], [1, 0]]))
    with pytest.raises(InputError, match="sentence 1 is impossible"):
        language.posterior(torch.tensor([[0, 0], [1, 0]]))


@pytest.mark.parametrize("seed", [4, 5, 8, 14, 19])
def test_hmmlearn_agrees(seed):
    """score and predict_proba of a CategoricalHMM made by hand from the same arrays."""
    initial, transition, emission, length = random_hmm_arrays(seed)
    language = HMM(initial, transition, emission, length)
    model = CategoricalHMM(n_components=len(initial), n_features=emission.shape[1])
    model.startprob_, model.transmat_, model.emissionprob_ = initial, dense(transition), emission
    tokens = language.sample(20, generator()).tokens
    rows = tokens.numpy().astype(int)
    scores = torch.tensor([model.score(row[:, None]) for row in rows], dtype=torch.float64)
    torch.testing.assert_close(language.log_prob(tokens), scores, **EXACT)
    posteriors = np.stack([model.predict_proba(row[:, None]) for row in rows])
    torch.testing.assert_close(language.posterior(tokens), torch.from_numpy(posteriors), **EXACT)


@pytest.mark.parametrize("blocks", [1, 2])
def test_hmmlearn_round_trip_keeps_every_bit(blocks):
    language = random_hmm(4, 6, 7, generator(3), blocks)
    back = HMM.from_hmmlearn(language.to_hmmlearn(), language.max_length)
    for name in ("initial", "transition", "emission"):
        assert torch.equal(getattr(back, name), getattr(language, name))
    assert back.max_length == 7
    tokens = language.sample(5, generator()).tokens
    model = language.to_hmmlearn()
    scores = [model.score(row[:, None]) for row in tokens.numpy().astype(int)]
    torch.testing.assert_close(language.log_prob(tokens), torch.tensor(scores, dtype=torch.float64), **EXACT)


def test_unfitted_hmmlearn_model_is_refused():
    with pytest.raises(InputError, match="no probabilities"):
        HMM.from_hmmlearn(CategoricalHMM(n_components=2), 3)


@pytest.mark.parametrize("seed", [4, 8, 18])
def test_sampled_frequencies(seed):
    """Sentences by the oracle's probabilities, and (first state, last state, last word) by its sums over paths."""
    initial, transition, emission, length = random_hmm_arrays(seed)
    language, oracle = HMM(initial, transition, emission, length), HmmOracle(initial, transition, emission, length)
    sentences = language.sample(40_000, generator(seed))
    assert_frequencies([tuple(row) for row in sentences.tokens.tolist()], oracle.enumeration().probabilities)
    states = sentences.latents["states"]
    outcomes = torch.stack([states[:, 0], states[:, -1], sentences.tokens[:, -1]], 1)
    exact = {}
    for first, last, word in itertools.product(range(len(initial)), range(len(initial)), range(emission.shape[1])):
        paths = oracle.prior[(oracle.paths[:, 0] == first) & (oracle.paths[:, -1] == last)]
        exact[first, last, word] = float(paths.sum() * oracle.emission[last, word])
    assert_frequencies([tuple(row) for row in outcomes.tolist()], exact)


@pytest.mark.parametrize(("masking", "seed"), [("one", 9), ("bernoulli:0.3", 4)])
def test_loss_floor(masking, seed):
    """Against the entropy of the truth by enumeration of all strings (and hidden sets), within 4 standard errors."""
    initial, transition, emission, length = random_hmm_arrays(seed)
    enumeration = HmmOracle(initial, transition, emission, length).enumeration()
    language = HMM(initial, transition, emission, length)
    assert assert_loss_floor(language, enumeration, 20_000, 1, masking, 0.01).stderr > 0


@pytest.mark.parametrize("seed", [4, 8, 13])
def test_state_tasks(seed):
    """Labels are the sampled states; Bayes accuracy is  sum_x max_k p(z_k, x)  over all strings."""
    initial, transition, emission, length = random_hmm_arrays(seed)
    language, oracle = HMM(initial, transition, emission, length), HmmOracle(initial, transition, emission, length)
    assert list(language.tasks) == [f"state-{k}" for k in range(1, length + 1)]
    strings = oracle.enumeration().probabilities
    sentences = language.sample(100, generator())
    for k in (1, length):
        task = language.tasks[f"state-{k}"]
        assert task.classes == tuple(str(state + 1) for state in range(len(initial)))
        assert torch.equal(task.labels(sentences), sentences.latents["states"][:, k - 1])
        exact = sum(p * oracle.posterior(string)[k - 1].max() for string, p in strings.items())
        estimate = task.bayes_accuracy(20_000, generator(2))
        assert abs(estimate.value - exact) < 4 * estimate.stderr + 1e-12


def test_blocks_are_the_dense_chain():
    """A chain given as blocks equals the same chain given as a matrix; the blocks never mix."""
    initial, transition, emission, length = random_hmm_arrays(14)
    blocked, full = HMM(initial, transition, emission, length), HMM(initial, dense(transition), emission, length)
    assert torch.equal(blocked.transition, full.transition)
    tokens = full.sample(50, generator()).tokens
    torch.testing.assert_close(blocked.log_prob(tokens), full.log_prob(tokens), **EXACT)
    torch.testing.assert_close(blocked.conditional(tokens), full.conditional(tokens), **EXACT)
    states = blocked.sample(500, generator()).latents["states"]
    assert torch.equal(states // 2, (states[:, :1] // 2).expand_as(states))
