"""Bounds for a model of which nothing is known but its probabilities p: how much less than p* they are worth.

With eps = E_L KL(p* || p), v of radius at most B and tau(B) its loss on p*, for a loss that is 1-Lipschitz in the score

    loss(p) - tau(B)  <=  E_T |v . (p - p*)|  <=  ...  <=  B (2 eps / gamma)^(1/2).
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...errors import InputError
from ..theorem import Link
from .chain import bound_of, error_chain, link, unit_of
from .finite import Finite
from .losses import Loss, expected
from .measured import Measured
from .natural import Natural, least_loss
from .rows import Table, each, table_of


def losses_of(finite: Finite, loss: Loss, v: Natural) -> tuple[Measured, Measured]:
    """(the loss of v on p*, the loss of v on p)."""
    eta = finite.eta
    return (
        finite.over_task(expected(loss, v.scores(finite.truth), eta)),
        finite.over_task(expected(loss, v.scores(finite.p), eta)),
    )


def fixed(value: float, like: Measured) -> Measured:
    """A number that is computed once, of which no error is known."""
    return Measured(value, torch.zeros_like(like.influence), like.draws)


def unconstrained(finite: Finite, loss: Loss, v: Natural, bound: float) -> Iterator[Link]:
    """Any language model: the excess of v, fitted to p*, when it is applied to p instead.

    Args:
        finite: contexts, truth, model and task.
        loss: "logistic" or "hinge".
        v: a minimiser for tau(B).
        bound: B.

    Yields:
        The links, from the excess loss to the bound, then the statement about the least loss on p.

    Raises:
        InputError: for the square loss, which is not 1-Lipschitz.
    """
    check_lipschitz(loss)
    unit, errors = unit_of(loss), table_of(torch.sub, finite.p, finite.truth)
    tau, at_p = losses_of(finite, loss, v)
    yield link("unconstrained: |excess| <= error", abs(at_p - tau), finite.over_task(along(errors, v.v).abs()), unit)
    yield from error_chain("unconstrained", finite, errors, v.v, v.radius, bound, finite.epsilon, unit)
    yield link("unconstrained: gamma <= gamma_Delta", finite.gamma, finite.gamma_of(errors), "share")
    least = fixed(least_loss(loss, finite.p, finite.eta, finite.task_weights), at_p)
    allowed = tau + bound_of(bound, finite.epsilon, finite.gamma)
    yield link("unconstrained: least loss of p <= tau + bound", smaller(least, at_p), allowed, unit)


def along(rows: Table, by: Tensor) -> Tensor:
    """Rows [m, C] times a vector or matrix [C, ...]: [m, ...]."""
    return each(lambda some: some @ by, rows)


def smaller(one: Measured, other: Measured) -> Measured:
    """The smaller of two upper bounds of one number."""
    return one if one.value <= other.value else other


def check_lipschitz(loss: Loss) -> None:
    """Raises InputError for a loss that is not 1-Lipschitz."""
    if loss == "square":
        raise InputError("loss is 'square', expected one that is 1-Lipschitz, logistic or hinge; choose one of them")


def squared(finite: Finite, v: Natural, bound: float) -> Iterator[Link]:
    """The square loss, by Minkowski: loss(p)^(1/2) <= tau^(1/2) + (E_T (v . Delta)^2)^(1/2) <= tau^(1/2) + bound.

    Args:
        finite: contexts, truth, model and task.
        v: a minimiser for tau(B) of the square loss.
        bound: B.

    Yields:
        The links.
    """
    tau, at_p = (value.root() for value in losses_of(finite, "square", v))
    error = finite.over_task(each(lambda p, truth: (p - truth) @ v.v, finite.p, finite.truth).square()).root()
    yield link("square: root loss <= root tau + error", at_p, tau + error, "loss^(1/2)")
    last = tau + bound_of(bound, finite.epsilon, finite.gamma)
    yield link("square: root tau + error <= root tau + bound", tau + error, last, "loss^(1/2)")


def zero_one(finite: Finite, v: Natural) -> Iterator[Link]:
    """Mistakes: P(y v . p <= 0) <= loss / log 2 for the logistic loss, <= loss for the hinge loss.

    Args:
        finite: contexts, truth, model and task.
        v: any.

    Yields:
        Two links for the model, two for the truth.
    """
    for name, probabilities in (("p", finite.p), ("p*", finite.truth)):
        scores, eta = v.scores(probabilities), finite.eta
        wrong = finite.over_task(torch.where(scores > 0, 1 - eta, torch.where(scores < 0, eta, torch.ones_like(eta))))
        logistic = finite.over_task(expected("logistic", scores, eta))
        hinge = finite.over_task(expected("hinge", scores, eta))
        yield link(f"mistakes of {name} <= logistic loss / log 2", wrong, logistic / 0.6931471805599453, "probability")
        yield link(f"mistakes of {name} <= hinge loss", wrong, hinge, "probability")


def many_classes(finite: Finite, table: Tensor, intercepts: Tensor, bound: float) -> Iterator[Link]:
    """k classes, cross-entropy of softmax(V p + c): the excess is at most that of the worst pair of classes.

        excess  <=  E_T max_(k, k') |(v_k - v_k') . Delta|  <=  R (2 eps / gamma)^(1/2)  <=  2 B (2 eps / gamma)^(1/2)

    R is the largest radius of a v_k - v_k'; the radius of each v_k is at most B.

    Args:
        finite: contexts, truth, model and task.
        table: V [k, C].
        intercepts: c [k].
        bound: B.

    Yields:
        The links.
    """
    law = finite.posterior.double()

    def loss(probabilities: Table) -> Measured:
        scores = (along(probabilities, table.T) + intercepts).log_softmax(1)
        return finite.over_task(-(law * scores).sum(1))

    errors = each(lambda p, truth: (p - truth) @ table.T, finite.p, finite.truth)
    worst = finite.over_task(errors.amax(1) - errors.amin(1))
    pairs = table[:, None] - table[None]
    radius = float((pairs.amax(2) - pairs.amin(2)).max()) / 2
    excess = abs(loss(finite.p) - loss(finite.truth))
    middle = bound_of(radius, finite.epsilon, finite.gamma)
    yield link("classes: |excess| <= worst pair", excess, worst, "nats")
    yield link("classes: worst pair <= radius of pairs", worst, middle, "nats")
    last = bound_of(2 * bound, finite.epsilon, finite.gamma)
    yield link("classes: radius of pairs <= 2 B", middle, last, "nats")
