"""The log partition function of a softmax model is nearly a quadratic form of its features.

No form has a smaller mean square error than the least squares fit, on the contexts of the fit; the second-order
expansion of log Z at f = 0 is one of the others. Where the fit is good on fresh contexts too, f is nearly a linear
function of Phi p_f, and as good for linear probes.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..errors import at_least
from ..models.ops.linear_head import head_of
from .next_word.chain import link
from .next_word.contexts import check_causal, features_of, sampled
from .next_word.log_partition import Quadratic, fit_quadratic, log_partition, second_cumulant
from .next_word.measured import Measured, mean
from .theorem import Link, Subject, Theorem, theorems

POINT = "log Z at fresh context"
"""How the links of single contexts begin."""

FRESH = 8.0
"""Standard errors of the difference by which a fit may be worse than another form on fresh contexts."""


@theorems.register("saunshi-log-partition")
@dataclass(frozen=True)
class SaunshiLogPartition(Theorem):
    """The share of the variance of log Z that a quadratic form leaves, 1 - R2, for the fit and for the expansion.

    Args:
        sentences: how many are sampled for the fit, and as many again for the test.
        points: fresh contexts whose log Z is recorded beside the fit, each as a link.
    """

    sentences: int = 1000
    points: int = 0

    source = "Saunshi, Malladi and Arora 2020, the assumption on log Z"

    def __post_init__(self) -> None:
        at_least("sentences", self.sentences, 10)
        at_least("points", self.points, 0)

    def check(self, subject: Subject) -> Iterator[Link]:
        """1 - R2 of both forms on the contexts of the fit and on fresh ones, and the usual and the largest error there.

        Args:
            subject: a model that predicts the next word, and its language.

        Yields:
            Four links, and one for each point: log Z there = its fit, up to the largest error.

        Raises:
            InputError: for another model, and for fewer contexts than the fit has numbers.
        """
        check_causal(subject.model)
        phi, bias = head_of(subject.model)
        forms: dict[str, Quadratic] = {"expansion": second_cumulant(phi, bias)}
        for part, name in ((1, "fitted"), (2, "fresh")):
            batch, weights = sampled(subject.language, self.sentences, subject.seed, part)
            f = features_of(subject.model, batch)
            values = log_partition(f, phi, bias)
            given = weights, batch.rows
            if part == 1:
                forms["fit"] = fit_quadratic(f, values, weights)
            wrong = {form: values - forms[form].value(f) for form in ("fit", "expansion")}
            spread = mean((values - float(weights @ values)).square(), *given)
            left, right = (mean(wrong[form].square(), *given) / spread for form in ("fit", "expansion"))
            found = link(f"log Z, {name} contexts: 1 - R2 of the fit <= of the expansion", left, right, "share")
            if part == 1:
                yield found
                continue
            yield replace(found, slack=FRESH * (left - right).estimate.stderr)
            for form in ("fit", "expansion"):
                largest = Measured(float(wrong[form].abs().max()), 0 * left.influence)
                usual = mean(wrong[form].square(), *given).root()
                yield link(
                    f"log Z, fresh contexts: root mean square error of the {form} <= largest", usual, largest, "nats"
                )
            yield from self._points(values, values - wrong["fit"], usual)

    def _points(self, values: Tensor, fitted: Tensor, like: Measured) -> Iterator[Link]:
        """log Z and its fit at contexts that lie evenly spread over the range of log Z."""
        order = values.argsort()
        chosen = torch.linspace(0, len(order) - 1, min(self.points, len(order))).round().long()
        largest = float((values - fitted).abs().max())
        for number, context in enumerate(order[chosen].tolist(), start=1):
            one, other = (Measured(float(side[context]), 0 * like.influence) for side in (values, fitted))
            yield replace(link(f"{POINT} {number}: log Z = fit", one, other, "nats", "="), slack=largest)
