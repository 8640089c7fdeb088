"""The head at its optimum against scikit-learn and against its own stationarity."""

import numpy as np
import pytest
import torch
from support.words import generator

from satlab.errors import InputError
from satlab.probes.logistic import raw
from satlab.probes.logistic.raw import contrasts, fit_raw


def problem(classes, n=300, d=5, seed=0):
    x = torch.rand(n, d, generator=generator(seed), dtype=torch.float64)
    x = x / x.sum(1, keepdim=True)
    scores = x @ torch.randn(d, classes, generator=generator(seed + 1), dtype=torch.float64) * 4
    noise = torch.randn(n, classes, generator=generator(seed + 2), dtype=torch.float64)
    return x, (scores - scores.mean(0) + noise / 2).argmax(1)


@pytest.mark.parametrize("c", [1.0, 1e3])
@pytest.mark.parametrize("classes", [2, 3])
def test_it_is_the_regression_of_scikit_learn(c, classes):
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y = problem(classes)
    ours = fit_raw(x, y, classes, (2 if classes == 2 else 1) / (c * len(x)))
    theirs = linear_model.LogisticRegression(C=c, tol=1e-12, max_iter=100_000).fit(x.numpy(), y.numpy())
    weight = ours.weight.numpy()
    found = weight[1:] - weight[:1] if classes == 2 else weight
    np.testing.assert_allclose(found, theirs.coef_, rtol=2e-3, atol=2e-3)
    assert (ours.predict(x).numpy() == theirs.predict(x.numpy())).mean() > 0.995


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_gradient_vanishes(classes):
    x, y = problem(classes)
    ridge = 1e-5
    found = fit_raw(x, y, classes, ridge)
    weight, bias = found.weight.clone().requires_grad_(), found.bias.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ weight.T + bias, y) + ridge / 2 * weight.square().sum()
    loss.backward()
    assert float(weight.grad.abs().max()) < 1e-7
    assert float(bias.grad.abs().max()) < 1e-7


def test_separable_classes_stop_at_the_penalty():
    """Collinear features that add up to 1, and a boundary without errors: the weights are large, and finite."""
    x, _ = problem(2)
    y = (x[:, 0] > x[:, 1]).long()
    found = fit_raw(x, y, 2, 1e-10)
    assert bool((found.predict(x) == y).all())
    assert 1e2 < float(found.weight.abs().max()) < 1e8


def test_contrasts_are_orthonormal_and_add_up_to_nothing():
    for classes in (2, 3, 7):
        basis = contrasts(classes)
        torch.testing.assert_close(basis.T @ basis, torch.eye(classes - 1, dtype=torch.float64))
        assert float(basis.sum(0).abs().max()) < 1e-12


def test_a_fit_that_does_not_end_is_refused(monkeypatch):
    monkeypatch.setattr(raw, "MOST_STEPS", 2)
    x, y = problem(2)
    with pytest.raises(InputError, match="did not converge in 2 steps with ridge 1e-09; give a larger ridge"):
        fit_raw(x, y, 2, 1e-9)
