"""The streamed optimum against the direct one, its metric against linear algebra, and the choice of the penalty."""

import numpy as np
import pytest
import torch
from support.logistic_problems import PROBLEMS, objective, problem, solution, standardised
from support.words import generator

from satlab.errors import InputError
from satlab.probes import Optimum, optimum
from satlab.probes import feature_store as store
from satlab.probes.feature_store import Features, FeatureStorage
from satlab.probes.logistic import fit as logistic
from satlab.probes.logistic import streamed as logistic_streamed
from satlab.probes.logistic.fit import fit_logistic
from satlab.probes.logistic.streamed import Metric, fit_streamed, prepare


def stored(x, in_memory=0):
    features = Features(len(x), FeatureStorage(None, 0) if not in_memory else None)
    for part in x.split(13):
        features.append(part)
    return features


@pytest.mark.parametrize("rank", [128, 3])
@pytest.mark.parametrize(("n", "d", "k", "l2", "kind"), PROBLEMS)
def test_streamed_from_disk_the_optimum_is_the_direct_one(monkeypatch, n, d, k, l2, kind, rank):
    monkeypatch.setattr(logistic_streamed, "RANK", rank)
    monkeypatch.setattr(logistic, "GRADIENT_TOLERANCE", 1e-9)
    monkeypatch.setattr(store, "PASS_BYTES", 17 * d * 8)
    x, labels = problem(n, d, k, seed=n + d, kind=kind)
    direct, streamed = fit_logistic(x, labels, k, l2), fit_streamed(stored(x), labels, k, l2)
    value = objective(standardised(x), labels, l2)
    assert abs(float(value(solution(streamed), k) - value(solution(direct), k))) < 1e-10
    assert (solution(streamed) - solution(direct)).abs().max() < 1e-6
    assert (streamed.mean - direct.mean).abs().max() < 1e-9
    assert (streamed.scale / direct.scale - 1).abs().max() < 1e-9


@pytest.mark.parametrize(("n", "d", "k", "l2", "kind"), PROBLEMS)
def test_in_float32_the_objective_is_the_same_to_a_millionth(n, d, k, l2, kind):
    """Features of a network's size: the same optimum of the features that float32 holds."""
    x, labels = problem(n, d, k, seed=n + d, kind=kind)
    x = standardised(x).float()
    streamed = fit_streamed(stored(x), labels, k, l2)
    value = objective(standardised(x.double()), labels, l2)
    direct = fit_logistic(x, labels, k, l2)
    assert abs(float(value(solution(streamed), k) - value(solution(direct), k))) < 1e-6


def test_only_the_rows_that_are_given_are_fitted():
    x, labels = problem(200, 5, 3, seed=1)
    part, whole = (fit_streamed(stored(x), labels, 3, 1e-3, rows=rows, tolerance=1e-8) for rows in (120, None))
    direct = fit_streamed(stored(x[:120]), labels[:120], 3, 1e-3, tolerance=1e-8)
    assert (solution(part) - solution(direct)).abs().max() < 1e-6
    assert (solution(part) - solution(whole)).abs().max() > 1e-3


@pytest.fixture
def evaluations(monkeypatch):
    """evaluations(fit): what the fit returns, and how often it has asked for the value."""
    count, plain = [0], logistic.lbfgs

    def counted(function, *rest):
        def asked(point):
            count[0] += 1
            return function(point)

        return plain(asked, *rest)

    def run(fit):
        count[0] = 0
        return fit(), count[0]

    monkeypatch.setattr(logistic, "lbfgs", counted)
    return run


@pytest.mark.parametrize("fit", [fit_logistic, lambda x, *rest, **more: fit_streamed(stored(x), *rest, **more)])
def test_a_start_nearby_saves_evaluations_and_changes_nothing(fit, evaluations):
    x, labels = problem(300, 8, 3, seed=2, kind="correlated")
    near = fit(x, labels, 3, 2e-3)
    cold, often = evaluations(lambda: fit(x, labels, 3, 1e-3))
    warm, less_often = evaluations(lambda: fit(x, labels, 3, 1e-3, start=near))
    again, hardly = evaluations(lambda: fit(x, labels, 3, 1e-3, start=cold))
    assert (solution(cold) - solution(warm)).abs().max() < 1e-3
    assert less_often < often
    assert hardly <= 3
    assert (solution(again) - solution(cold)).abs().max() < 1e-5


def test_where_the_streamed_optimum_is_not_reached_that_is_said(monkeypatch):
    monkeypatch.setattr(logistic, "MAX_ITERATIONS", 2)
    x, labels = problem(200, 6, 3, seed=9, kind="correlated")
    with pytest.raises(InputError, match="the probe did not converge in 2 iterations with l2 = 1e-06"):
        fit_streamed(stored(x), labels, 3, 1e-6)


def test_constant_features_and_a_single_class_are_no_obstacle():
    labels = torch.tensor([1] * 6 + [0] * 3 + [2] * 4)
    probe = fit_streamed(stored(torch.ones(13, 3)), labels, 4, 1e-3)
    assert probe.predict(torch.ones(2, 3)).tolist() == [1, 1]
    probe = fit_streamed(stored(torch.randn(13, 3, generator=generator(0))), torch.full((13,), 1), 2, 1e-3)
    assert probe.predict(torch.zeros(2, 3)).tolist() == [1, 1]


# ---- the metric


def low_rank(n=300, d=40, strong=5):
    """Features with a few strong directions."""
    source = generator(4)
    spectrum = torch.cat([torch.full((strong,), 10.0), torch.full((d - strong,), 1e-3)]).double()
    mix = torch.linalg.qr(torch.randn(d, d, generator=source, dtype=torch.float64)).Q
    return (torch.randn(n, d, generator=source, dtype=torch.float64) * spectrum) @ mix


def test_the_metric_has_the_strongest_directions_of_the_features(monkeypatch):
    x = low_rank()
    monkeypatch.setattr(logistic_streamed, "RANK", 12)
    _, metric = prepare(stored(x), 300)
    z = standardised(x)
    exact = torch.linalg.eigvalsh(z.T @ z / 600).flip(0)
    assert metric.directions.shape == (40, 12)
    assert (metric.strengths[:5] / exact[:5] - 1).abs().max() < 1e-3
    assert (metric.directions.T @ metric.directions - torch.eye(12)).abs().max() < 1e-10
    assert metric.rest == float(metric.strengths[-1])


def test_with_as_many_directions_as_features_the_metric_is_exact():
    x = low_rank(d=12)
    _, metric = prepare(stored(x), 300)
    z = standardised(x)
    rebuilt = metric.directions * metric.strengths @ metric.directions.T
    assert (rebuilt - z.T @ z / 600).abs().max() < 1e-5 * float((z.T @ z / 600).abs().max())


def test_powers_of_the_metric_are_those_of_its_matrix():
    source = generator(1)
    directions = torch.linalg.qr(torch.randn(9, 4, generator=source, dtype=torch.float64)).Q
    metric = Metric(directions, torch.tensor([8.0, 4.0, 2.0, 1.0]).double(), 0.5)
    across = torch.eye(9) - directions @ directions.T
    matrix = directions * metric.strengths @ directions.T + 0.5 * across
    rows = torch.randn(3, 9, generator=source, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(matrix)
    for exponent in (0.5, -0.5, 1.0, -1.0):
        expected = rows @ (vectors * values**exponent @ vectors.T)
        assert (metric.power(rows, exponent) - expected).abs().max() < 1e-12


def test_the_metric_is_worth_its_pass(monkeypatch, evaluations):
    """Evaluations that collinear features take, with a metric of all, half and next to no directions."""
    source = generator(4)
    mix = torch.linalg.qr(torch.randn(60, 60, generator=source, dtype=torch.float64)).Q
    spectrum = torch.logspace(0, -4, 60, dtype=torch.float64)
    x = (torch.randn(800, 60, generator=source, dtype=torch.float64) * spectrum) @ mix
    along = standardised(x) @ mix[:, [2, 20]]
    noise = torch.randn(800, generator=source, dtype=torch.float64)
    labels = ((along / along.std(0)).sum(1) + noise > 0).long()
    counts = []
    for rank in (60, 30, 1):
        monkeypatch.setattr(logistic_streamed, "RANK", rank)
        counts.append(evaluations(lambda: fit_streamed(stored(x), labels, 2, 1e-4))[1])
    all_of_them, half, one = counts
    assert all_of_them <= half < 40
    assert one > 150


# ---- the penalty


def noisy(n=400, d=60, seed=0):
    """One feature matters, the rest is noise: a weak penalty overfits."""
    source = generator(seed)
    x = torch.randn(n, d, generator=source, dtype=torch.float64)
    return x, (x[:, 0] + torch.randn(n, generator=source, dtype=torch.float64) > 0).long()


@pytest.mark.parametrize("in_memory", [True, False])
def test_the_penalty_is_the_one_that_reads_held_out_sentences_best(in_memory):
    x, labels = noisy()
    probe = Optimum(None).fit(stored(x, in_memory), labels, 2)
    losses = {}
    for l2 in optimum.L2_GRID:
        fitted = fit_logistic(x[:320], labels[:320], 2, l2)
        z = (x[320:] - fitted.mean) / fitted.scale @ fitted.weight.T + fitted.bias
        losses[l2] = float(-z.log_softmax(1)[torch.arange(80), labels[320:]].mean())
    expected = min(losses, key=losses.__getitem__)
    assert optimum.L2_GRID[0] > expected > optimum.L2_GRID[-1]
    assert probe.l2 == expected
    assert (solution(probe) - solution(fit_logistic(x, labels, 2, expected))).abs().max() < 1e-3


def test_noise_asks_for_a_strong_penalty_and_clean_features_for_a_weak_one():
    x, labels = noisy()
    strong = Optimum(None).fit(stored(x, True), labels, 2).l2
    clean = torch.linspace(-1, 1, 400, dtype=torch.float64)[torch.randperm(400, generator=generator(1))][:, None]
    weak = Optimum(None).fit(stored(clean, True), (clean[:, 0] > 0.83).long(), 2).l2
    assert strong >= 1e-2
    assert weak <= 1e-3


def test_a_penalty_that_cannot_be_fitted_ends_the_search(monkeypatch):
    x, labels = noisy()
    fit = optimum.fit_logistic

    def limited(x, y, k, l2, start=None):
        if l2 < 0.05:
            raise InputError("not reached")
        return fit(x, y, k, l2, start)

    monkeypatch.setattr(optimum, "fit_logistic", limited)
    assert Optimum(None).fit(stored(x, True), labels, 2).l2 in (1.0, 0.1)
    monkeypatch.setattr(optimum, "L2_GRID", (1e-3,))
    with pytest.raises(InputError, match="not reached"):
        Optimum(None).fit(stored(x, True), labels, 2)


def test_after_two_worse_penalties_in_a_row_no_other_is_tried(monkeypatch):
    losses, tried = [3.0, 3.5, 2.0, 2.5, 2.2, 1.0, 0.5], []

    def loss(probe, *_):
        tried.append(probe.l2)
        return losses[len(tried) - 1]

    x, labels = noisy()
    monkeypatch.setattr(optimum, "cross_entropy", loss)
    assert Optimum(None).fit(stored(x, True), labels, 2).l2 == 1e-2
    assert tried == list(optimum.L2_GRID[:5])


def test_one_sentence_is_too_few_to_choose_by():
    with pytest.raises(InputError, match="train_sentences is 1, expected at least 2"):
        Optimum(None).fit(stored(torch.ones(1, 2), True), torch.tensor([0]), 2)


def test_accuracy_of_a_part_is_counted():
    x, labels = noisy()
    probe = fit_logistic(x, labels, 2, 1e-2)
    expected = np.mean((probe.predict(x) == labels).numpy()[250:])
    assert optimum.correct(probe, stored(x), labels, 250) == pytest.approx(expected, abs=1e-15)
