"""tau(B): against other solvers, and its certificate."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, lsq_linear, minimize
from support.finite_languages import random_finite

from satlab.errors import InputError
from satlab.theory.next_word.losses import expected
from satlab.theory.next_word.natural import least_loss, natural
from satlab.theory.next_word.natural_classes import natural_classes
from satlab.theory.next_word.softmax import row_basis

LOSSES = ["logistic", "hinge", "square"]


def arrays(finite):
    w = (finite.task_weights / finite.task_weights.sum()).numpy()
    return finite.truth.numpy(), finite.eta.numpy(), w


def by_another_solver(loss, p, eta, w, bound, basis=None):
    """The minimum by scipy: L-BFGS-B, HiGHS and BVLS; with a basis SLSQP, or HiGHS."""
    a = np.eye(p.shape[1]) if basis is None else np.hstack([basis, np.ones((p.shape[1], 1))])
    x = np.hstack([p @ a, np.ones((len(p), 1))])
    n = x.shape[1]
    if loss == "hinge":
        m = len(p)
        cost = np.concatenate([np.zeros(n), w * eta, w * (1 - eta)])
        left = np.vstack([np.hstack([-x, -np.eye(m), np.zeros((m, m))]), np.hstack([x, np.zeros((m, m)), -np.eye(m)])])
        box = np.hstack([a, np.zeros((len(a), 1 + 2 * m))])
        found = linprog(
            cost,
            np.vstack([left, box, -box]),
            np.concatenate([-np.ones(2 * m), np.full(2 * len(a), bound)]),
            bounds=[(None, None)] * n + [(0, None)] * 2 * m,
        )
        return found.fun
    if loss == "square" and basis is None:
        rows = np.vstack([np.sqrt(w * eta)[:, None] * x, np.sqrt(w * (1 - eta))[:, None] * x])
        right = np.concatenate([np.sqrt(w * eta), -np.sqrt(w * (1 - eta))])
        limits = np.append(np.full(n - 1, bound), 1e6)
        return 2 * lsq_linear(rows, right, (-limits, limits), method="bvls").cost

    def function(z):
        u = torch.from_numpy(x @ z)
        return float(torch.from_numpy(w) @ expected(loss, u, torch.from_numpy(eta)))

    if basis is None:
        limits = [(-bound, bound)] * (n - 1) + [(None, None)]
        options = {"ftol": 1e-15, "gtol": 1e-9, "maxiter": 5000, "maxfun": 10**6}
        return minimize(function, np.zeros(n), method="L-BFGS-B", bounds=limits, options=options).fun
    box = np.hstack([a, np.zeros((len(a), 1))])
    constraints = {"type": "ineq", "fun": lambda z: np.concatenate([bound - box @ z, bound + box @ z])}
    return minimize(
        function, np.zeros(n), method="SLSQP", constraints=constraints, options={"ftol": 1e-12, "maxiter": 500}
    ).fun


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bound", [0.5, 5.0])
def test_the_minimum_is_that_of_another_solver(loss, seed, bound):
    finite = random_finite(seed, contexts=10)
    found = natural(loss, finite.truth, finite.eta, finite.task_weights, bound)
    other = by_another_solver(loss, *arrays(finite), bound)
    assert found.loss == pytest.approx(other, abs=2e-6)
    assert found.least - 1e-9 <= other


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("seed", range(4))
def test_the_minimum_in_the_row_space_of_a_model(loss, seed):
    finite = random_finite(seed, contexts=10)
    basis = row_basis(finite.phi)
    found = natural(loss, finite.truth, finite.eta, finite.task_weights, 1.5, basis)
    other = by_another_solver(loss, *arrays(finite), 1.5, basis.numpy())
    assert found.loss == pytest.approx(other, abs=2e-6)
    outside = found.v - found.v.mean() - basis @ (basis.T @ (found.v - found.v.mean()))
    assert float(outside.abs().max()) < 1e-9
    assert found.radius <= 1.5 * (1 + 1e-9)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("bound", [0.1, 10.0])
def test_word_features_that_span_everything_restrict_nothing(loss, bound):
    # As many words' features as there are words less one: with the constant, the table is square.
    finite = random_finite(44)
    basis = row_basis(finite.phi)
    assert basis.shape == (5, 4)
    given = finite.truth, finite.eta, finite.task_weights, bound
    free, inside = natural(loss, *given), natural(loss, *given, basis)
    assert inside.loss == pytest.approx(free.loss, abs=2e-7)
    assert inside.loss - inside.least <= 1e-7


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), bound=st.sampled_from([0.1, 1.0, 10.0, 100.0]), loss=st.sampled_from(LOSSES))
@example(seed=13481, bound=100.0, loss="hinge")
@example(seed=3, bound=0.1, loss="hinge")
def test_the_certificate_is_narrow_and_no_feasible_point_is_below_it(seed, bound, loss):
    finite = random_finite(seed)
    given = finite.truth, finite.eta, finite.task_weights
    found = natural(loss, *given, bound)
    assert found.loss - found.least <= 1e-6
    assert found.radius <= bound * (1 + 1e-9)
    noise = torch.Generator().manual_seed(seed)
    share = finite.task_weights / finite.task_weights.sum()
    for scale in (0.01, 0.3, 1.0):
        # Points around the minimiser, and anywhere, brought back into the box.
        v = found.v + scale * bound * torch.randn(found.v.shape, generator=noise, dtype=torch.float64)
        for shift in (0.0, 0.1, -1.0):
            u = finite.truth @ v.clamp(-bound, bound) + found.intercept + shift
            assert float(share @ expected(loss, u, finite.eta)) >= found.least


def test_a_wider_bound_never_costs():
    finite = random_finite(4, contexts=12)
    given = finite.truth, finite.eta, finite.task_weights
    values = [natural("logistic", *given, bound).loss for bound in (0.1, 1.0, 10.0, 100.0)]
    assert all(a >= b - 1e-7 for a, b in itertools.pairwise(values))
    basis = row_basis(finite.phi)
    assert all(natural("logistic", *given, b, basis).loss >= v - 1e-6 for b, v in ((1.0, values[1]), (10.0, values[2])))


def test_the_next_words_class_is_solved_by_plus_and_minus_one():
    """v = +-B on the classes; for the square loss v = +-1 leaves exactly the variance of the label."""
    finite = random_finite(5, contexts=12)
    chosen = torch.arange(finite.truth.shape[1]) < 1
    eta = finite.truth[:, chosen].sum(1)
    share = finite.task_weights / finite.task_weights.sum()
    found = natural("square", finite.truth, eta, finite.task_weights, 1.0)
    assert found.loss <= float(share @ (4 * eta * (1 - eta))) + 1e-6


def test_wrong_input():
    finite = random_finite(3)
    ones = torch.ones_like(finite.eta)
    with pytest.raises(InputError, match="unknown loss 'log'"):
        natural("log", finite.truth, finite.eta, ones, 1.0)
    for bound in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="expected a positive number"):
            natural("hinge", finite.truth, finite.eta, ones, bound)
    with pytest.raises(InputError, match="one label alone"):
        natural("hinge", finite.truth, ones, ones, 1.0)
    law = torch.stack([ones, 0 * ones], 1)
    with pytest.raises(InputError, match="a class of the task never occurs"):
        natural_classes(finite.truth, law, ones, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_two_of_k_classes_are_the_logistic_loss(seed):
    """softmax(V p + c) of two classes is the logistic loss of v_2 - v_1, whose bound is twice that of each."""
    finite = random_finite(seed, contexts=10)
    several = natural_classes(finite.truth, finite.posterior, finite.task_weights, 1.0)
    one = natural("logistic", finite.truth, finite.eta, finite.task_weights, 2.0)
    assert several.loss == pytest.approx(one.loss, abs=1e-5)
    assert several.loss - several.least < 1e-4
    assert several.least <= one.loss + 1e-9


@pytest.mark.parametrize("loss", LOSSES)
def test_the_least_loss_of_features_is_that_of_their_best_fit(loss):
    finite = random_finite(9, contexts=14)
    share = finite.task_weights / finite.task_weights.sum()
    found = least_loss(loss, finite.features, finite.eta, finite.task_weights)
    # No worse than any of many fits, and reached: an affine map of the features changes nothing.
    noise = torch.Generator().manual_seed(0)
    d = finite.features.shape[1]
    for _ in range(50):
        u = finite.features @ torch.randn(d, generator=noise, dtype=torch.float64) + 0.1
        assert found <= float(share @ expected(loss, u, finite.eta)) + 1e-9
    moved = finite.features @ (torch.eye(d) * 3 + 0.1).double() + 5
    assert least_loss(loss, moved, finite.eta, finite.task_weights) == pytest.approx(found, abs=1e-5)
