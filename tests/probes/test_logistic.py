"""fit_logistic against the optimum of its stated objective, found here by Newton's method in the plain coordinates."""

import contextlib
import math

import numpy as np
import pytest
import torch
from support.logistic_problems import PROBLEMS, newton, objective, problem, solution, standardised
from support.words import generator
from torch._subclasses import FakeTensorMode

from satlab.errors import InputError
from satlab.probes.logistic import fit as logistic
from satlab.probes.logistic.fit import Logistic, fit_logistic


@pytest.mark.parametrize(("n", "d", "k", "l2", "kind"), PROBLEMS)
def test_the_optimum_of_the_stated_objective_is_reached(n, d, k, l2, kind):
    features, labels = problem(n, d, k, seed=n + d, kind=kind)
    value = objective(standardised(features), labels, l2)
    found = solution(fit_logistic(features, labels, k, l2))
    start = torch.func.grad(value)(torch.zeros_like(found), k).norm()
    assert start > 0.01
    assert torch.func.grad(value)(found, k).norm() < 1e-4 * start
    best, untrained = float(value(newton(value, k, d + 1), k)), float(value(torch.zeros_like(found), k))
    assert best < 0.99 * untrained
    assert -1e-12 < float(value(found, k)) - best < 1e-8 * untrained


@pytest.mark.parametrize(("n", "d", "k", "l2", "kind"), PROBLEMS)
def test_predictions_are_the_optimums(n, d, k, l2, kind):
    features, labels = problem(n, d, k, seed=n + d, kind=kind)
    x = standardised(features)
    table = newton(objective(x, labels, l2), k, d + 1).reshape(k, d + 1)
    scores = x @ table[:, :-1].T + table[:, -1]
    clear = scores.topk(2).values.diff().abs()[:, 0] > 1e-2
    assert clear.float().mean() > 0.9
    assert torch.equal(fit_logistic(features, labels, k, l2).predict(features)[clear], scores.argmax(1)[clear])


def test_the_penalty_leaves_the_bias_alone():
    """With weights pressed to zero the bias alone gives the classes' frequencies."""
    labels = torch.tensor([0] * 10 + [1] * 25 + [2] * 65)
    features = torch.randn(100, 4, generator=generator(0))
    probe = fit_logistic(features, labels, 3, 1e6)
    assert probe.weight.abs().max() < 1e-4
    assert (probe.bias.softmax(0) - torch.tensor([0.1, 0.25, 0.65], dtype=torch.float64)).abs().max() < 1e-4


def test_scale_and_shift_of_the_features_do_not_matter():
    features, labels = problem(200, 5, 3, seed=1)
    one = fit_logistic(features, labels, 3, 1e-3)
    other = fit_logistic(features * 1000 - 7, labels, 3, 1e-3)
    assert (one.weight - other.weight).abs().max() < 1e-3
    assert torch.equal(one.predict(features), other.predict(features * 1000 - 7))


@pytest.mark.parametrize("constant", [0.0, 1.0, -1e-3, 1 / 3, 12345.678, 1e6 + 0.1])
def test_constant_features_are_left_out(constant):
    features, labels = problem(300, 4, 3, seed=2)
    wide = torch.cat([features, torch.full((300, 2), constant, dtype=torch.float64)], 1)
    plain, probe = fit_logistic(features, labels, 3, 1e-3), fit_logistic(wide, labels, 3, 1e-3)
    assert probe.weight[:, 4:].abs().max() < 1e-8
    assert (probe.weight[:, :4] - plain.weight).abs().max() < 1e-3
    assert torch.equal(probe.predict(wide), plain.predict(features))


def test_a_feature_that_is_constant_in_training_is_ignored_in_testing():
    features, labels = problem(300, 4, 3, seed=2)
    wide = torch.cat([features, torch.zeros(300, 1, dtype=torch.float64)], 1)
    probe = fit_logistic(wide, labels, 3, 1e-3)
    moved = wide.clone()
    moved[:, 4] = 1e6
    assert torch.equal(probe.predict(moved), probe.predict(wide))


def test_equal_features_share_their_weight():
    features, labels = problem(300, 4, 3, seed=3)
    probe = fit_logistic(torch.cat([features, features[:, :1]], 1), labels, 3, 1e-3)
    assert (probe.weight[:, 0] - probe.weight[:, 4]).abs().max() < 1e-3
    assert probe.weight[:, 0].abs().max() > 0.1


def test_only_constant_features_give_the_most_frequent_class():
    labels = torch.tensor([1] * 6 + [0] * 3 + [2] * 4)
    probe = fit_logistic(torch.ones(13, 3), labels, 4, 1e-3)
    assert probe.predict(torch.ones(2, 3)).tolist() == [1, 1]
    expected = torch.tensor([3, 6, 4, 0], dtype=torch.float64) / 13
    assert (probe.bias.softmax(0) - expected).abs().max() < 1e-3


def test_a_class_without_examples_is_never_predicted():
    features, labels = problem(300, 4, 3, seed=4)
    labels = labels * 2
    probe = fit_logistic(features, labels, 6, 1e-3)
    assert set(probe.predict(features).tolist()) <= {0, 2, 4}
    with_gaps, without = probe.predict(features) // 2, fit_logistic(features, labels // 2, 3, 1e-3).predict(features)
    assert (with_gaps == without).double().mean() > 0.98


def test_one_class_only_is_always_predicted():
    features, _ = problem(50, 4, 2, seed=5)
    probe = fit_logistic(features, torch.full((50,), 1), 3, 1e-4)
    assert set(probe.predict(features).tolist()) == {1}
    assert torch.isfinite(probe.weight).all()


def test_separable_classes_are_separated():
    x = torch.linspace(-1, 1, 40, dtype=torch.float64)
    labels = (x > 0.26).long()
    probe = fit_logistic(x[:, None], labels, 2, 1e-6)
    assert torch.equal(probe.predict(x[:, None]), labels)


def test_float32_features_are_fitted_in_float64():
    features, labels = problem(200, 5, 3, seed=6)
    single = features.float()
    one, other = fit_logistic(single, labels, 3, 1e-3), fit_logistic(single.double(), labels, 3, 1e-3)
    assert one.weight.dtype == torch.float64
    assert torch.equal(one.weight, other.weight)
    assert torch.equal(one.predict(single), other.predict(single.double()))


def test_fitting_is_deterministic():
    features, labels = problem(200, 6, 3, seed=7, kind="correlated")
    one, again = (fit_logistic(features, labels, 3, 1e-4) for _ in range(2))
    assert torch.equal(solution(one), solution(again))


def test_strongly_correlated_features_are_no_obstacle():
    """Features as a network gives them: a few strong directions and many weak ones."""
    source = generator(8)
    spectrum = torch.logspace(0, -6, 60, dtype=torch.float64)
    mix = torch.linalg.qr(torch.randn(60, 60, generator=source, dtype=torch.float64))[0]
    features = (torch.randn(800, 60, generator=source, dtype=torch.float64) * spectrum) @ mix
    labels = (features @ mix[2] > 0).long() + (features @ mix[20] > 0).long()
    found = solution(fit_logistic(features, labels, 3, 1e-4))
    value = objective(standardised(features), labels, 1e-4)
    assert torch.func.grad(value)(found, 3).norm() < 1e-4 * torch.func.grad(value)(0 * found, 3).norm()


def test_the_blocks_of_the_hessian_save_evaluations_and_change_nothing(monkeypatch):
    """Features as a network gives them, and classes that are nearly separated."""
    source = generator(8)
    spectrum = torch.logspace(0, -3, 120, dtype=torch.float64)
    mix = torch.linalg.qr(torch.randn(120, 120, generator=source, dtype=torch.float64))[0]
    features = (torch.randn(800, 120, generator=source, dtype=torch.float64) * spectrum) @ mix
    labels = (standardised(features) @ torch.randn(120, 4, generator=source, dtype=torch.float64)).argmax(1)
    counts, values, plain = [], [], logistic._loss

    def loss(*given):
        counts[-1] += 1
        return plain(*given)

    monkeypatch.setattr(logistic, "_loss", loss)
    for most in (4 * 121**2, 4 * 121**2 - 1):
        monkeypatch.setattr(logistic, "MOST_ENTRIES", most)
        counts.append(0)
        found = solution(fit_logistic(features, labels, 4, 1e-5))
        values.append(float(objective(standardised(features), labels, 1e-5)(found, 4)))
        assert abs(float(found.reshape(4, 121)[:, -1].sum())) < 1e-9
    with_blocks, without = counts
    assert with_blocks < without / 2
    assert abs(values[0] - values[1]) < 1e-5


def test_blocks_that_do_not_help_are_given_up(monkeypatch):
    """Of 110 classes most have a few sentences or none: their blocks are nearly l2 I, far from where they are soon."""
    source = generator(53)
    features = torch.randn(350, 8, generator=source, dtype=torch.float64)
    weights = torch.randn(8, 110, generator=source, dtype=torch.float64)
    labels = (features @ weights + torch.randn(350, 110, generator=source, dtype=torch.float64)).argmax(1)
    value = objective(standardised(features), labels, 1e-9)
    with_blocks = float(value(solution(fit_logistic(features, labels, 110, 1e-9)), 110))
    monkeypatch.setattr(logistic, "MOST_ENTRIES", 0)
    without = float(value(solution(fit_logistic(features, labels, 110, 1e-9)), 110))
    assert with_blocks < 1.01 * without < 0.01


def test_where_the_optimum_is_not_reached_that_is_said(monkeypatch):
    features, labels = problem(200, 6, 3, seed=9, kind="correlated")
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 2)
    with pytest.raises(InputError, match=r"the probe did not converge in 2 iterations with l2 = 1e-06; give a larger"):
        fit_logistic(features, labels, 3, 1e-6)


@pytest.mark.parametrize("iterations", [1, 3, 6, 10, 15, 20, 30])
def test_however_few_iterations_are_allowed_the_answer_is_the_optimum_or_an_error(monkeypatch, iterations):
    features, labels = problem(20, 12, 2, seed=32)
    value = objective(standardised(features), labels, 1e-4)
    best, untrained = float(value(newton(value, 2, 13), 2)), math.log(2)
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", iterations)
    with contextlib.suppress(InputError):
        found = solution(fit_logistic(features, labels, 2, 1e-4))
        assert float(value(found, 2)) - best < 1e-6 * untrained


@pytest.mark.parametrize("l2", [1e-10, 1e-16, 1e-20, 1e-40])
def test_a_penalty_too_weak_for_collinear_features_is_answered_with_advice(l2):
    """Either the optimum is found, or the error says what to do; never a failure of linear algebra."""
    features, labels = problem(100, 5, 3, seed=11, kind="low rank")
    value = objective(standardised(features), labels, l2)
    with contextlib.suppress(InputError):
        found = solution(fit_logistic(features, labels, 3, l2))
        assert torch.func.grad(value)(found, 3).abs().max() < 1e-3


def test_the_objective_here_is_the_documented_one():
    x, labels = torch.tensor([[1.0, -1.0], [0.0, 2.0]], dtype=torch.float64), torch.tensor([1, 0])
    flat = torch.tensor([0.5, 0.0, 0.1, -0.5, 1.0, 0.0], dtype=torch.float64)
    scores = np.array([[0.5 + 0.1, -1.5], [0.1, 2.0]])
    surprise = [-scores[i, y] + math.log(np.exp(scores[i]).sum()) for i, y in enumerate([1, 0])]
    expected = np.mean(surprise) + 0.5 * 0.3 * (0.25 + 0.25 + 1)
    assert float(objective(x, labels, 0.3)(flat, 2)) == pytest.approx(expected, rel=1e-14)


def test_features_may_lie_on_another_device_than_the_classifier():
    """What is fitted part by part is kept on the CPU, while features stay on a GPU that has room for them."""
    with FakeTensorMode():
        table = torch.empty(3, 6, dtype=torch.float64)
        probe = Logistic(table, table[:, 0], table[0], table[0], 1e-4)
        assert probe.predict(torch.empty(10, 6, device="cuda")).device.type == "cuda"
