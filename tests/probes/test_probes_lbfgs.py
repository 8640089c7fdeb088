"""L-BFGS against the matrix it stands for, on quadratics, and with values spoilt by rounding."""

import pytest
import torch
from support.words import generator

from satlab.probes.logistic import lbfgs as module
from satlab.probes.logistic.lbfgs import History, lbfgs


def quadratic(d=30, worst=1e3, seed=0):
    """(function, optimum, matrix) of 1/2 (x - c)^T A (x - c)."""
    source = generator(seed)
    mix = torch.linalg.qr(torch.randn(d, d, generator=source, dtype=torch.float64)).Q
    matrix = mix * torch.logspace(0, -torch.tensor(worst).log10(), d, dtype=torch.float64) @ mix.T
    centre = torch.randn(d, generator=source, dtype=torch.float64)

    def function(x):
        gradient = matrix @ (x - centre)
        return float(0.5 * (x - centre) @ gradient), gradient

    return function, centre, matrix


def inverse_hessian(pairs, d):
    """BFGS's matrix, pair by pair, begun at the newest pair's s.y / y.y times the identity."""
    step, change = pairs[-1]
    matrix = torch.eye(d, dtype=torch.float64) * (step @ change) / (change @ change)
    for step, change in pairs:
        rho = 1 / (step @ change)
        left = torch.eye(d, dtype=torch.float64) - rho * torch.outer(step, change)
        matrix = left @ matrix @ left.T + rho * torch.outer(step, step)
    return matrix


@pytest.mark.parametrize("count", [1, 3, 5, 8, 13])
def test_the_direction_is_that_of_the_bfgs_matrix(monkeypatch, count):
    monkeypatch.setattr(module, "HISTORY", 5)
    _, _, hessian = quadratic(d=12)
    source = generator(1)
    history = History(torch.zeros(12, dtype=torch.float64))
    pairs = []
    for _ in range(count):
        step = torch.randn(12, generator=source, dtype=torch.float64)
        pairs.append((step, hessian @ step))
        history.add(*pairs[-1])
    gradient = torch.randn(12, generator=source, dtype=torch.float64)
    expected = -inverse_hessian(pairs[-5:], 12) @ gradient
    assert (history.direction(gradient) - expected).abs().max() < 1e-9 * expected.abs().max()


def test_a_pair_without_curvature_is_left_out():
    history = History(torch.zeros(3, dtype=torch.float64))
    history.add(torch.ones(3).double(), -torch.ones(3).double())
    assert history.slots == []
    assert torch.equal(history.direction(torch.ones(3).double()), -torch.ones(3).double())


@pytest.mark.parametrize("worst", [1.0, 1e2, 1e4])
def test_the_optimum_of_a_quadratic_is_found(worst):
    function, centre, _ = quadratic(worst=worst)
    point, gradient, iterations = lbfgs(function, torch.zeros(30, dtype=torch.float64), 1e-10, 2000)
    assert gradient.abs().max() <= 1e-10
    assert (point - centre).abs().max() < 1e-10 * worst * 30
    assert iterations < 600


def test_steps_too_long_and_too_short_are_mended():
    """log cosh, far from where it is a parabola, with slopes of many sizes."""
    scale = torch.tensor([1e-3, 1.0, 30.0], dtype=torch.float64)

    def function(x):
        return float((scale * x).cosh().log().sum()), scale * (scale * x).tanh()

    point, gradient, _ = lbfgs(function, torch.tensor([5.0, 5.0, 5.0], dtype=torch.float64), 1e-9, 500)
    assert gradient.abs().max() <= 1e-9
    assert (point[1:].abs() < 1e-8).all()


def test_values_that_rounding_has_spoilt_are_survived():
    """Values with noise of 1e-7, gradients exact: the slopes still lead to the optimum."""
    function, _, _ = quadratic(worst=1e2)
    source = generator(2)

    def noisy(x):
        value, gradient = function(x)
        return 1.0 + value + 1e-7 * float(torch.randn((), generator=source)), gradient

    _, gradient, _ = lbfgs(noisy, torch.zeros(30, dtype=torch.float64), 1e-9, 1000)
    assert gradient.abs().max() <= 1e-9


def test_it_ends_at_the_most_iterations_and_where_nothing_helps():
    function, _, _ = quadratic()
    assert lbfgs(function, torch.zeros(30, dtype=torch.float64), 1e-12, 3)[2] == 3

    def wrong(x):
        return function(x)[0], -function(x)[1]

    _, gradient, iterations = lbfgs(wrong, torch.zeros(30, dtype=torch.float64), 1e-12, 100)
    assert iterations <= 1
    assert gradient.abs().max() > 1e-3
