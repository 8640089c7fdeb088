"""The penalty chosen by validation, against scikit-learn's fits of the same grid, and its cross-validation."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.metrics import log_loss
from support.words import generator

from satlab.probes.feature_store import Features
from satlab.probes.optimum import HELD_OUT, L2_GRID, Optimum


def problem(classes, seed, n=240, d=8):
    """Features of which some matter, and labels drawn from a softmax of them."""
    noise = generator(seed)
    scale = torch.logspace(-1, 1, d, dtype=torch.float64)
    x = torch.randn(n, d, generator=noise, dtype=torch.float64) * scale
    w = torch.randn(d, classes, generator=noise, dtype=torch.float64) / scale[:, None]
    return x, torch.multinomial((x @ w).softmax(1), 1, generator=noise)[:, 0]


def by_scikit_learn(x, y, l2, classes):
    """The same optimum; with two classes, w and -w share the weight of scikit-learn's one row, 2 w."""
    standardised = ((x - x.mean(0)) / x.std(0, correction=0)).numpy()
    c = (2 if classes == 2 else 1) / (l2 * len(y))
    return LogisticRegression(C=c, tol=1e-9, max_iter=20_000).fit(standardised, y.numpy())


@pytest.mark.parametrize(("classes", "seed"), [(2, 0), (2, 1), (3, 2), (4, 3)])
def test_the_penalty_is_the_one_that_scikit_learn_finds_best(classes, seed):
    x, y = problem(classes, seed)
    store = Features(len(x))
    store.append(x)
    found = Optimum(l2=None).fit(store, y, classes)
    rows = len(y) - round(HELD_OUT * len(y))
    mean, scale = x[:rows].mean(0), x[:rows].std(0, correction=0)
    losses = []
    for l2 in L2_GRID:
        fit = by_scikit_learn(x[:rows], y[:rows], l2, classes)
        held = ((x[rows:] - mean) / scale).numpy()
        losses.append(log_loss(y[rows:], fit.predict_proba(held), labels=fit.classes_))
    assert found.l2 == L2_GRID[losses.index(min(losses))]
    whole = by_scikit_learn(x, y, found.l2, classes)
    standardised = ((x - x.mean(0)) / x.std(0, correction=0)).numpy()
    ours = found.scores(x).softmax(1)
    torch.testing.assert_close(ours, torch.from_numpy(whole.predict_proba(standardised)), rtol=0, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_is_as_good_as_five_fold_cross_validation(seed):
    """The authors' released code takes LogisticRegressionCV; on fresh data both lose about the same."""
    x, y = problem(2, seed, n=1200)
    store = Features(400)
    store.append(x[:400])
    ours = Optimum(l2=None).fit(store, y[:400], 2).scores(x[400:]).softmax(1)
    mean, scale = x[:400].mean(0), x[:400].std(0, correction=0)
    grid = LogisticRegressionCV(Cs=[10.0**k for k in range(-6, 4)], cv=5, max_iter=2000, scoring="neg_log_loss")
    grid.fit(((x[:400] - mean) / scale).numpy(), y[:400].numpy())
    theirs = torch.from_numpy(grid.predict_proba(((x[400:] - mean) / scale).numpy()))
    labels = y[400:, None]
    lost = (theirs.gather(1, labels).log() - ours.gather(1, labels).log())[:, 0]
    assert abs(float(lost.mean())) < 4 * float(lost.std()) / len(lost) ** 0.5 + 0.01
