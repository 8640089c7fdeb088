"""The conditions of tuning against plain sums, exact fractions and searches on chains of three states."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from satlab.errors import InputError
from satlab.generators import HMM, find_task, load_language
from satlab.generators.hmm.readout import Readout
from satlab.probes.tuning.ideal import ideal_distribution
from satlab.theory.conditions import Chain, chain_of, conditions
from satlab.theory.conditions.memory_cell import informative, recoverability
from satlab.theory.conditions.prompt import backwards, cone_residual, least_margin
from satlab.theory.conditions.regularity import gap, period

ROW = st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any)


def rows_of(counts):
    table = np.array(counts, dtype=float)
    return table / table.sum(-1, keepdims=True)


def chain(seed=0, states=3, words=4, mu=(1.0, -2.0, 0.0)):
    draws = np.random.Generator(np.random.PCG64(seed))
    return Chain(
        rows_of(draws.random(states) + 0.2),
        rows_of(draws.random((1, states, states)) + 0.05),
        rows_of(draws.random((states, words))),
        np.array(mu),
    )


def check(name, one):
    return conditions[name]().check(one)


def exact_rank(table):
    """By Gaussian elimination in fractions."""
    rows = [[Fraction(int(x)) for x in row] for row in table]
    rank = 0
    for column in range(len(rows[0]) if rows else 0):
        pivot = next((r for r in range(rank, len(rows)) if rows[r][column]), None)
        if pivot is None:
            continue
        rows[rank], rows[pivot] = rows[pivot], rows[rank]
        for r in range(rank + 1, len(rows)):
            share = rows[r][column] / rows[rank][column]
            rows[r] = [x - share * y for x, y in zip(rows[r], rows[rank], strict=True)]
        rank += 1
    return rank


@given(st.lists(ROW, min_size=3, max_size=3))
@settings(max_examples=200, deadline=None)
def test_ergodic_chains_are_those_with_a_positive_power(counts):
    """A^5 > 0, Wielandt's bound for three states."""
    transition = rows_of(counts)
    positive = bool((np.linalg.matrix_power((transition > 0).astype(float), 5) > 0).all())
    assert (period(transition) == 1) == positive
    assert (gap(transition) > 0) == positive


def test_the_period_of_a_cycle():
    cycle = np.roll(np.eye(3), 1, 1)
    assert (period(cycle), period(np.eye(3)), period((cycle + np.eye(3)) / 2)) == (3, 0, 1)
    assert gap((cycle + np.eye(3)) / 2) == pytest.approx(1 - 0.5)


def test_regularity_says_what_is_missing():
    one = chain()
    verdict = check("regularity", one)
    assert verdict.holds
    assert verdict.value == pytest.approx(min(one.initial.min(), verdict.more["least_gap_of_a_block"]))
    assert not check("regularity", Chain(np.array([1.0, 0, 0]), one.blocks, one.emission, one.mu)).holds
    assert not check("regularity", Chain(one.initial, np.roll(np.eye(3), 1, 1)[None], one.emission, one.mu)).holds


def test_stationarity_is_that_of_the_eigenvector():
    one = chain()
    values, vectors = np.linalg.eig(one.transition.T)
    pi = np.real(vectors[:, np.argmax(np.real(values))])
    pi /= pi.sum()
    assert check("stationarity", Chain(pi, one.blocks, one.emission, one.mu)).holds
    verdict = check("stationarity", one)
    moved = [sum(one.initial[i] * one.transition[i, j] for i in range(3)) for j in range(3)]
    assert not verdict.holds
    assert verdict.value == pytest.approx(-sum(abs(a - b) for a, b in zip(moved, one.initial, strict=True)) / 2)


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4).filter(any), min_size=3, max_size=3))
@settings(max_examples=200, deadline=None)
def test_the_rank_of_the_emission(counts):
    one = chain()
    verdict = check("emission-rank", Chain(one.initial, one.blocks, rows_of(counts), one.mu))
    assert verdict.more["rank"] == exact_rank(counts)
    assert verdict.holds == (exact_rank(counts) == 3)


def test_fewer_words_than_states_have_no_full_rank():
    verdict = check("emission-rank", chain(words=2))
    assert (verdict.value, verdict.holds, verdict.more["rank"]) == (0.0, False, 2)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3).filter(any), min_size=3, max_size=3),
    st.lists(st.integers(-2, 2), min_size=3, max_size=3).filter(any),
)
@settings(max_examples=200, deadline=None)
def test_a_head_is_exact_where_the_augmented_matrix_has_the_same_rank(counts, mu):
    """Rouche and Capelli, in fractions: W b = mu has a solution iff rank [W mu] = rank W."""
    totals = [math.prod(sum(row) for row in counts)] * 3
    whole = [[x * t // sum(row) for x in row] for row, t in zip(counts, totals, strict=True)]
    solvable = exact_rank([[*row, m] for row, m in zip(whole, mu, strict=True)]) == exact_rank(whole)
    one = chain()
    assert check("head", Chain(one.initial, one.blocks, rows_of(counts), np.array(mu, float))).holds == solvable


def posteriors(one, length=3):
    """p(z_0 | x) of every text, by sums over all paths; z_0 is the first state of a text whose first word is hidden."""
    states, words = one.emission.shape
    for text in itertools.product(range(words), repeat=length - 1):
        joint = np.zeros(states)
        for path in itertools.product(range(states), repeat=length):
            p = one.initial[path[0]]
            for before, after, word in zip(path, path[1:], text, strict=False):
                p *= one.transition[before, after] * one.emission[after, word]
            joint[path[0]] += p
        yield joint / joint.sum()


def test_the_exact_head_decides_every_text():
    one = chain()
    assert check("head", one).holds
    b = np.linalg.lstsq(one.emission, one.mu, rcond=None)[0]
    for p in posteriors(one):
        assert (b @ (one.emission.T @ p) > 0) == (one.mu @ p > 0)


@pytest.mark.parametrize("seed", range(6))
def test_the_linear_program_finds_no_less_than_a_search(seed):
    """A search over a grid of 9^4 heads comes near the program's optimum and never exceeds it."""
    one = chain(seed)
    grid = np.array(list(itertools.product(np.linspace(-1, 1, 9), repeat=4)))
    signed = np.sign(one.mu[[0, 1]])[:, None] * one.emission[[0, 1]]
    best = float((grid @ signed.T).min(1).max())
    found, b = least_margin(one.emission, one.mu)
    assert best - 1e-9 <= found
    assert found <= best + 0.25
    assert np.abs(b).max() <= 1 + 1e-9
    assert found == pytest.approx(float((signed @ b).min()))


def test_states_of_one_emission_and_two_signs_have_no_prompt():
    one = chain()
    same = one.emission.copy()
    same[1] = same[0]
    assert least_margin(same, one.mu)[0] <= 1e-9
    assert not check("prompt-mask-text", Chain(one.initial, one.blocks, same, one.mu)).holds
    assert check("prompt-mask-text", one).holds


def test_a_feasible_prompt_decides_every_text():
    """q = mu / (W b) on H*: the head b on W^T (q * p(z_0 | x)) is right about every text."""
    one = chain(words=3, mu=(1.0, -2.0, 0.5))
    rest = np.vstack([one.emission[:2], 0.5 * one.emission[0] + 0.5 * one.emission[1]])
    one = Chain(one.initial, one.blocks, rest, np.array([1.0, -2.0, 0.0]))
    assert not check("emission-rank", one).holds
    _, b = least_margin(one.emission, one.mu)
    kept = one.mu != 0
    q = np.zeros(3)
    q[kept] = one.mu[kept] / (one.emission[kept] @ b)
    assert (q[kept] > 0).all()
    for p in posteriors(one):
        assert (b @ (one.emission.T @ (q * p)) > 0) == (one.mu @ p > 0)


def test_the_states_before_a_prompt():
    """A~_hi = P(z_-1 = i | z_0 = h), by Bayes' rule."""
    one = chain()
    for h, i in itertools.product(range(3), repeat=2):
        total = sum(one.initial[k] * one.transition[k, h] for k in range(3))
        assert backwards(one)[h, i] == pytest.approx(one.initial[i] * one.transition[i, h] / total)


def test_what_fake_words_reach_lies_in_the_cone():
    """The posterior after fake words of any likelihoods, by brute force, has no residual; a corner has."""
    one = chain()
    draws = np.random.Generator(np.random.PCG64(3))
    for _ in range(5):
        likelihoods = draws.random((2, 3))
        reached = np.zeros(3)
        for path in itertools.product(range(3), repeat=3):
            p = one.initial[path[0]] * likelihoods[0, path[0]]
            p *= one.transition[path[0], path[1]] * likelihoods[1, path[1]] * one.transition[path[1], path[2]]
            reached[path[2]] += p
        assert cone_residual(one, reached / one.initial) < 1e-9
    assert cone_residual(one, np.array([1.0, 0.0, 0.0])) > 1e-3


def test_the_prompted_word_by_all_paths():
    """W^T (q * p(z_0 | x)), normalised, is the mask's word beside a fake word that only some states can say."""
    one = chain()
    p = np.stack(list(posteriors(one)))
    kept = torch.tensor([True, True, False])
    found = ideal_distribution(torch.from_numpy(p), torch.from_numpy(one.emission), kept)
    for row, state in zip(found.numpy(), p, strict=True):
        plain = sum(state[h] * one.emission[h] for h in (0, 1))
        np.testing.assert_allclose(row, plain / plain.sum(), atol=1e-14)


def memory_chain(seed=0, words=6, contents=2, states=2):
    draws = np.random.Generator(np.random.PCG64(seed))
    block = rows_of(draws.random((states, states)))
    mu = np.repeat(np.arange(contents, dtype=float) - 0.5, states)
    emission = rows_of(draws.integers(0, 4, (contents * states, words)) + np.eye(contents * states, words))
    return Chain(rows_of(np.ones(contents * states)), np.stack([block] * contents), emission, mu)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("words", [3, 4, 6])
def test_recoverable_states_are_those_of_the_two_ranks(seed, words):
    draws = np.random.Generator(np.random.PCG64(seed))
    rows, rest = draws.integers(0, 3, (2, words)), draws.integers(0, 3, (2, words))
    both = exact_rank([*rows.tolist(), *rest.tolist()])
    holds = exact_rank(rows.tolist()) == 2 and 2 + exact_rank(rest.tolist()) == both
    assert (recoverability(rows.astype(float), rest.astype(float)) > 1e-9) == holds


def test_memory_is_read_off_one_state():
    one = memory_chain()
    verdict = check("memory-cell", one)
    assert (verdict.more["informative"], verdict.holds) == (2, True)
    silent = one.emission.reshape(2, 2, -1).copy()
    silent[:, 1] = silent[0, 1]
    assert list(informative(Chain(one.initial, one.blocks, silent.reshape(4, -1), one.mu))) == [0]
    assert not check("memory-cell", memory_chain(words=2)).holds
    assert informative(chain()) == {}


def test_a_language_is_read_off():
    language = load_language({"family": "wei2021-memory-hmm", "slots": 2, "states": 2, "words": 5, "length": 6})
    one = chain_of(language, find_task(language, "posterior"))
    assert np.array_equal(one.transition, language.transition.numpy())
    weights = language.readout.weights.numpy()
    assert np.array_equal(one.mu, weights[1] - weights[0])


def test_weights_that_do_not_differ_are_refused():
    weights = torch.tensor([[0.0, 1.0, 2.0]] * 2, dtype=torch.float64)
    one = chain()
    same = HMM(one.initial, one.transition, one.emission, 6, readout=Readout(weights, 6))
    with pytest.raises(InputError, match="the same weights for both classes"):
        chain_of(same, find_task(same, "posterior"))


def test_what_a_prompt_cannot_reach_is_said():
    """Exactness of a prompt before the mask supposes its factor, which lies outside the cone of this chain."""
    far = chain(mu=(1.0, -2.0, 0.5))
    near = Chain(far.initial, np.eye(3)[None], far.emission, far.mu)
    for one, reached in ((far, False), (near, True)):
        verdict = check("prompt-mask-text", one)
        assert verdict.holds
        assert (verdict.more["cone_residual"] <= 1e-6) == reached
        assert verdict.follows.endswith("always right") == reached


@pytest.mark.parametrize("name", ["state-1", "posterior"])
def test_other_tasks_are_refused(name):
    language = load_language({"family": "wei2021-hmm", "states": 4, "length": 6})
    weights = torch.eye(4, dtype=torch.float64)
    three = HMM(language.initial, language.transition, language.emission, 6, readout=Readout(weights, 6))
    with pytest.raises(InputError, match=r"expected the task posterior|has 4 classes, expected 2") as error:
        chain_of(three, find_task(three, name))
    assert "\n" not in str(error.value)
