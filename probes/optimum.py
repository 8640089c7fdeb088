"""The linear probe at its convex optimum, with a given penalty or one chosen on held-out training sentences."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional as F
from typing_extensions import override

from ..errors import InputError
from .feature_store import Features
from .logistic.fit import Logistic, fit_logistic
from .logistic.streamed import fit_streamed, prepare
from .method import FeatureProbe, FittedProbe, probe_methods

L2_GRID = (1.0, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
"""The penalties from which validation chooses, strongest first. Each fit starts at the solution of the one before."""

HELD_OUT = 0.2
"""The share of the training sentences, the last ones, on which a penalty is chosen."""

PATIENCE = 2
"""The search ends after this many penalties in a row that do not lower the loss."""

DIRECT_WIDTH = 256
"""The most features for which a fit uses the whole d x d metric. More features, and those in a file, are streamed."""


@probe_methods.register("linear")
@dataclass(frozen=True)
class Optimum(FeatureProbe):
    """Multinomial logistic regression on standardised features, at its convex optimum.

        min_(W, b)  mean_i -log softmax(W h_i + b)[y_i] + l2 / 2 ||W||^2

    With l2 None, the first 80 % of the sentences are fitted with the penalties 1, 0.1, ..., 1e-6 in turn, from a warm
    start, until two in a row do not lower the cross-entropy on the other 20 %. The final fit uses the best penalty and
    all sentences. The criterion is cross-entropy because it varies far less than accuracy from one held-out set to
    another. A penalty that is too weak for the solver also ends the search.

    Args:
        l2: strength of the penalty l2 / 2 ||W||^2, added to the mean loss; null chooses it by validation.

    Raises:
        InputError: for a penalty that is not positive.
    """

    l2: float | None = 1e-4

    def __post_init__(self) -> None:
        if self.l2 is not None and not 0 < self.l2 < math.inf:
            raise InputError(f"l2 is {self.l2}, expected a positive number; correct it")

    @override
    def row_settings(self) -> dict[str, Any]:
        # Without the probe's name, which rows of earlier versions lack too.
        return asdict(self)

    @override
    def check(self, train_sentences: int) -> None:
        if self.l2 is None and train_sentences < 2:
            raise InputError(
                f"train_sentences is {train_sentences}, expected at least 2 to choose l2 by validation; give "
                "more, or l2"
            )

    @override
    def fit(self, features: Features, labels: Tensor, num_classes: int, seed: int = 0, repeat: int = 0) -> Logistic:
        start, l2 = (None, self.l2) if self.l2 is not None else self._choose(features, labels, num_classes)
        return _fitter(features, labels, num_classes, len(labels))(l2, start)

    def _choose(self, features: Features, labels: Tensor, num_classes: int) -> tuple[Logistic | None, float]:
        """The solution to start from, if any, and the penalty that validation chooses."""
        self.check(len(labels))
        rows = len(labels) - max(1, round(HELD_OUT * len(labels)))
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


def correct(probe: FittedProbe, features: Features, labels: Tensor, start: int = 0) -> float:
    """The share of the labels [n], from row `start` on, that the classifier predicts correctly."""
    right = sum(
        float((probe.predict(part) == labels[rows].to(part.device)).sum())
        for rows, part in features.in_order(None, start)
    )
    return right / (len(labels) - start)


def cross_entropy(probe: Logistic, features: Features, labels: Tensor, start: int = 0) -> float:
    """The mean of -log softmax(W h_i + b)[y_i], in nats, over the sentences from row `start` on."""
    total = 0.0
    for rows, part in features.in_order(None, start):
        scores = probe.scores(part)
        total += float(F.cross_entropy(scores, labels[rows].to(scores.device), reduction="sum"))
    return total / (len(labels) - start)


def _fitter(
    features: Features, labels: Tensor, num_classes: int, rows: int
) -> Callable[[float, Logistic | None], Logistic]:  # fmt: skip
    """fit(l2, start) for the first `rows` rows. For streamed features, what does not depend on l2 is computed once."""
    if features.memory is not None and features.width <= DIRECT_WIDTH:
        x, y = features.memory[:rows], labels[:rows]
        return lambda l2, start: fit_logistic(x, y, num_classes, l2, start)
    data = prepare(features, rows)
    return lambda l2, start: fit_streamed(features, labels, num_classes, l2, start, rows, data)
