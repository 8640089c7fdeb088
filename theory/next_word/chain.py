"""From an error of probabilities to one of scores: the chain that all bounds on next-word prediction share.

Let e = v . Delta be the error of a score at each context, Delta the error of what v is applied to. Then

    E_T |e|  <=  (E_T e^2)^(1/2)  <=  (E_L e^2 / gamma_Delta)^(1/2)  <=  |v| (2 eps / gamma_Delta)^(1/2)
             <=  |v|_max (2 eps / gamma)^(1/2)

by Jensen, by Cauchy with the covariance of the errors, by Hoelder with Pinsker (for probabilities, where |v| is the
radius (max v - min v) / 2 and eps a KL) or by Cauchy alone (for other predictions, where |v| is the 2-norm and eps half
a mean square), and since gamma <= gamma_Delta and |v| <= |v|_max.
"""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor

from ..theorem import Link
from .finite import Finite
from .losses import Loss
from .measured import Measured
from .rows import Table, each

PINSKER = 2.0
"""|p - q|_1^2 <= PINSKER KL(p || q); for half a mean square the same factor is exact."""

ROUNDING = 1e-9
"""Relative rounding of both sides, computed in float64."""


def unit_of(loss: Loss) -> str:
    """The unit of an expected loss."""
    return "nats" if loss == "logistic" else "loss"


def link(name: str, left: Measured, right: Measured, unit: str, relation: Literal["=", "<="] = "<=") -> Link:
    """A link whose sides are computed from the same contexts, so that they may differ by rounding alone."""
    slack = ROUNDING * (1 + abs(right.value) + abs(left.value))
    return Link(name, left.estimate, right.estimate, relation, slack, unit)


def bound_of(size: float, eps: Measured, gamma: Measured) -> Measured:
    """size (2 eps / gamma)^(1/2)."""
    return (eps * PINSKER / gamma).root() * size


def error_chain(
    prefix: str, finite: Finite, errors: Table, v: Tensor, size: float, largest: float, eps: Measured, unit: str
) -> Iterator[Link]:
    """The four links of the chain.

    Args:
        prefix: of the links' names.
        finite: contexts, truth, model and task.
        errors: Delta [m, k].
        v: [k].
        size: |v|.
        largest: |v|_max.
        eps: what Pinsker's inequality, or the mean square, bounds the errors by.
        unit: of a loss.

    Yields:
        The links.
    """
    along = each(lambda some: some @ v, errors)
    refined = finite.gamma_of(errors)
    first, second = finite.over_task(along.abs()), finite.over_task(along.square()).root()
    third = (finite.over_language(along.square()) / refined).root()
    fourth = bound_of(size, eps, refined)
    yield link(f"{prefix}: error <= root mean square", first, second, unit)
    yield link(f"{prefix}: root mean square <= that of the language / gamma_Delta", second, third, unit)
    yield link(f"{prefix}: that <= refined bound", third, fourth, unit)
    yield link(f"{prefix}: refined bound <= bound", fourth, bound_of(largest, eps, finite.gamma), unit)
