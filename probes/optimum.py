"""The linear probe at its convex optimum, its penalty given or chosen on sentences held out of the training set."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from ..errors import InputError
from .adamw import Head
from .feature_store import Features
from .logistic.fit import Logistic, fit_logistic
from .logistic.streamed import fit_streamed, prepare

L2_GRID = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The penalties that validation chooses from, the strongest first: each fit begins at the one before."""

HELD_OUT = 0.2
"""The part of the training sentences that a penalty is chosen on: the last ones."""

PATIENCE = 2
"""Weaker penalties that are tried, one after the other, without a lower loss."""

DIRECT_WIDTH = 256
"""Features up to which a fit takes the whole metric of d x d numbers; wider ones, and all in a file, are streamed."""


@dataclass(frozen=True)
class Optimum:
    """min_W mean_i -log softmax(W h_i + b)[y_i] + l2 / 2 ||W||^2 on standardised features.

    l2: None tries 1, 0.1, ... 1e-6 on the first 80 % of the sentences, with warm starts, until two in a row have no lower
    cross-entropy on the other 20 %; the best is then fitted to all. Cross-entropy, not accuracy: it varies far less from
    one held-out set to another. A penalty too weak for the solver ends the search.
    """

    l2: float | None = 1e-4

    def __post_init__(self) -> None:
        if self.l2 is not None and not 0 < self.l2 < math.inf:
            raise InputError(f"l2 is {self.l2}, expected a positive number; correct it")

    def fit(self, features: Features, labels: Tensor, num_classes: int, seed: int = 0, repeat: int = 0) -> Logistic:
        """The classifier for features [n, d] and labels [n]; nothing is drawn.

        Raises InputError where the optimum is not reached.
        """
        start, l2 = (None, self.l2) if self.l2 is not None else self._choose(features, labels, num_classes)
        return _fitter(features, labels, num_classes, len(labels))(l2, start)

    def _choose(self, features: Features, labels: Tensor, num_classes: int) -> tuple[Logistic | None, float]:
        rows = len(labels) - max(1, round(HELD_OUT * len(labels)))
        if rows < 1:
            raise InputError(f"train_sentences is {len(labels)}, expected at least 2 where l2 is to be chosen; give l2")
        fit = _fitter(features, labels, num_classes, rows)
        start: Logistic | None = None
        best: tuple[float, Logistic | None, float] = (math.inf, None, L2_GRID[0])
        worse = 0
        for l2 in L2_GRID:
            try:
                start = fit(l2, start)
            except InputError:
                if best[1] is None:
                    raise
                break
            loss = cross_entropy(start, features, labels, rows)
            worse = 0 if loss < best[0] else worse + 1
            if not worse:
                best = (loss, start, l2)
            if worse == PATIENCE:
                break
        return best[1:]


def correct(probe: Logistic | Head, features: Features, labels: Tensor, start: int = 0) -> float:
    """The share of the labels [n], from start on, that the classifier gives."""
    right = sum(
        float((probe.predict(part) == labels[rows].to(part.device)).sum())
        for rows, part in features.in_order(None, start)
    )
    return right / (len(labels) - start)


def cross_entropy(probe: Logistic, features: Features, labels: Tensor, start: int = 0) -> float:
    """The mean of -log softmax(W h_i + b)[y_i], nats, over the sentences from start on."""
    total = 0.0
    for rows, part in features.in_order(None, start):
        scores = probe.scores(part)
        total += float(F.cross_entropy(scores, labels[rows].to(scores.device), reduction="sum"))
    return total / (len(labels) - start)


def _fitter(
    features: Features, labels: Tensor, num_classes: int, rows: int
) -> Callable[[float, Logistic | None], Logistic]:  # fmt: skip
    """fit(l2, start) on the first rows; what does not depend on l2 is done once."""
    if features.memory is not None and features.width <= DIRECT_WIDTH:
        x, y = features.memory[:rows], labels[:rows]
        return lambda l2, start: fit_logistic(x, y, num_classes, l2, start)
    data = prepare(features, rows)
    return lambda l2, start: fit_streamed(features, labels, num_classes, l2, start, rows, data)
