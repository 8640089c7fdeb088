"""The statistics and passes of hidden chains, against all their paths, closed forms, dense matrices and each other."""

import math

import numba
import numpy as np
import pytest
import torch
from support.oracles import HmmOracle, dense
from support.random_languages import random_hmm_arrays
from support.tree_oracle import entropy

from satlab.generators import HMM, random_hmm
from satlab.generators.hmm.backend import TensorChain
from satlab.generators.hmm.statistics import chain_statistics, stationary
from satlab.generators.kernels.counter_random import find
from satlab.generators.kernels.search_table import SHARES, SearchTable, find_from


@numba.njit
def by_share(sums, begins, shares):
    """The entries that `find_from` returns, compiled: Python cannot call the inner functions of kernels."""
    return np.array([find_from(sums, begins, share) for share in shares])


@numba.njit
def by_bisection(sums, shares):
    return np.array([find(sums, share) for share in shares])


@pytest.mark.parametrize("seed", range(12))
def test_chains_by_all_their_paths(seed):
    initial, transition, emission, length = random_hmm_arrays(seed)
    language, oracle = HMM(initial, transition, emission, length), HmmOracle(initial, transition, emission, length)
    found = chain_statistics(language)
    occupancy = [oracle.prior[(oracle.paths == k)[:, t]].sum() for k in range(oracle.states) for t in range(length)]
    occupancy = np.reshape(occupancy, (oracle.states, length)).mean(1)
    assert found.occupancy == pytest.approx(occupancy.tolist(), abs=1e-12)
    assert found.effective_states == pytest.approx(math.exp(entropy(occupancy.tolist())), rel=1e-12)
    assert found.path_entropy == pytest.approx(entropy(oracle.prior.tolist()), abs=1e-12)
    rows = [entropy(row) for row in np.asarray(emission).tolist()]
    assert found.emission_entropy == pytest.approx(float(occupancy @ rows), abs=1e-12)
    assert (found.least_emission_entropy, found.greatest_emission_entropy) == pytest.approx((min(rows), max(rows)))
    assert math.fsum(part.weight for part in found.classes) == pytest.approx(1, abs=1e-12)
    far = np.asarray(initial) @ np.mean([np.linalg.matrix_power(dense(transition), n) for n in range(4000, 4060)], 0)
    long_run = np.zeros(oracle.states)
    for part in found.classes:
        long_run[np.array(part.states) - 1] = part.weight * np.array(part.stationary)
    assert long_run.tolist() == pytest.approx(far.tolist(), abs=1e-9)


def test_a_chain_with_two_classes_and_states_that_are_left():
    """State 1 leads to the class {2, 3} with 3/4 and to 4 with 1/4; |lambda_2| of {2, 3} is |1 - 0.3 - 0.6|."""
    transition = [[0.2, 0.6, 0, 0.2], [0, 0.7, 0.3, 0], [0, 0.6, 0.4, 0], [0, 0, 0, 1]]
    found = chain_statistics(HMM([1, 0, 0, 0], transition, np.eye(4), 5))
    assert (found.states, found.blocks, found.transient, len(found.classes)) == (4, 1, 1, 2)
    first, second = found.classes
    assert (first.states, second.states) == ((2, 3), (4,))
    assert (first.weight, second.weight) == pytest.approx((0.75, 0.25), abs=1e-14)
    assert first.stationary == pytest.approx((2 / 3, 1 / 3), abs=1e-14)
    assert first.second_eigenvalue == pytest.approx(0.1, abs=1e-12)
    assert (second.second_eigenvalue, second.entropy_rate) == (0, 0)
    rate = 2 / 3 * entropy([0.7, 0.3]) + 1 / 3 * entropy([0.6, 0.4])
    assert found.entropy_rate == pytest.approx(0.75 * rate, abs=1e-14)


def test_a_periodic_chain_never_forgets_its_start():
    (only,) = chain_statistics(HMM([1, 0], [[0, 1], [1, 0]], np.eye(2), 4)).classes
    assert only.second_eigenvalue == pytest.approx(1)
    assert only.stationary == pytest.approx((0.5, 0.5))


def test_stationary_keeps_its_relative_accuracy_for_rare_states():
    p = 1e-13
    exact = np.array([1, p / 0.5, (p / 0.5) ** 2])
    transition = np.array([[1 - p, p, 0], [0.5, 0.5 - p, p], [0, 0.5, 0.5]])
    assert stationary(transition) == pytest.approx(exact / exact.sum(), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 7, 300, 5000])
def test_a_search_that_begins_by_its_share_finds_what_bisection_finds(n):
    """At random shares, at the borders of the table's shares and of the entries, and one rounding beside them."""
    rng = np.random.default_rng(n)
    weights = rng.exponential(size=(4, n)) ** 3
    weights[1, rng.random(n) < 0.7] = 0
    weights[2, 1:] = 0
    weights[3] = np.where(np.arange(n) == n // 2, 1, 1e-300)
    weights[1, n // 2] = 1
    table = SearchTable.of(torch.from_numpy(weights))
    borders = np.concatenate([np.arange(SHARES) / SHARES, *(row / row[-1] for row in table.sums)])
    near = [borders, np.nextafter(borders, 0), np.nextafter(borders, 1), rng.random(2000)]
    shares = np.clip(np.concatenate(near), 0, 1 - 2.0**-53)
    for sums, begins, own in zip(table.sums, table.begins, weights, strict=True):
        found = by_share(sums, begins, shares).tolist()
        assert found == by_bisection(sums, shares).tolist()
        assert (own[found] > 0).all()


@pytest.mark.parametrize("blocks", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_passes_over_tensors_give_what_the_compiled_ones_give(blocks, dtype):
    language, other = (random_hmm(4, 6, 7, torch.Generator().manual_seed(3), blocks) for _ in range(2))
    other.chain = TensorChain(other.initial, other.blocks, other.emission)
    tokens = language.sample(20, torch.Generator().manual_seed(1)).tokens
    hidden = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    close = {"rtol": 0, "atol": 1e-12 if dtype == torch.float64 else 1e-5}
    torch.testing.assert_close(
        language.conditional(tokens, None, hidden, dtype), other.conditional(tokens, None, hidden, dtype), **close
    )
    torch.testing.assert_close(
        language.conditional_at(tokens, None, hidden, dtype), other.conditional_at(tokens, None, hidden, dtype), **close
    )
    torch.testing.assert_close(language.posterior(tokens), other.posterior(tokens), rtol=0, atol=1e-12)
