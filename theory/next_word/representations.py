"""Bounds for softmax models with word features Phi: conditional means Phi p_f, and the features f themselves.

Tasks are natural with respect to Phi: v = Phi^T lambda + c. Let p_f* be the best softmax model with this Phi. Since
Phi p_f* = Phi p*, v has the same scores on both, and eps = E_L KL(p_f* || p_f) is exactly what f could still save.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ...models.ops.linear_head import row_space
from ..theorem import Link
from .chain import bound_of, error_chain, link, unit_of
from .finite import Finite
from .log_partition import Quadratic
from .losses import Loss, expected
from .measured import Measured
from .natural import Natural, least_loss
from .probabilities import along, check_lipschitz, fixed, losses_of, smaller
from .rows import each, table_of
from .softmax import Projection, kl


def savable(finite: Finite, best: Projection) -> Measured:
    """eps = E_L KL(p_f* || p_f), nats."""
    return finite.over_language(savable_of_each(finite, best))


def savable_of_each(finite: Finite, best: Projection) -> Tensor:
    """KL(p_f* || p_f) of each context [m], nats."""
    return each(kl, best.p, finite.log_p)


def softmax(finite: Finite, loss: Loss, v: Natural, bound: float, best: Projection) -> Iterator[Link]:
    """A softmax model with fixed Phi: p_f in place of p*, for v in the row space of Phi.

    Args:
        finite: contexts, truth, model and task, with the head.
        loss: "logistic" or "hinge".
        v: a minimiser for tau_Phi(B).
        bound: B.
        best: p_f*.

    Yields:
        The two equations that make eps exact, the local form, and the chain.
    """
    check_lipschitz(loss)
    unit, eps = unit_of(loss), savable(finite, best)
    remaining = finite.over_language(each(kl, finite.truth, best.log_p))
    # What Newton's method leaves of the first-order condition enters through v as much as through the logits.
    yield link("softmax: kl = least kl + epsilon", finite.epsilon, remaining + eps, "nats", "=")
    on_best, on_truth = v.scores(best.p), v.scores(finite.truth)
    one, other = (finite.over_language(scores) for scores in (on_best, on_truth))
    yield link("softmax: mean of v on the best model = on the truth", one, other, "score", "=")
    errors = table_of(torch.sub, finite.p, best.p)
    error = along(errors, v.v)
    excess = error.square() - 2 * v.radius**2 * savable_of_each(finite, best)
    worst = fixed(float(excess[finite.weights > 0].max()), eps)
    zero = fixed(0.0, eps)
    yield link("softmax: max over contexts of squared error - 2 r^2 epsilon_s <= 0", worst, zero, "score^2")
    tau, at_p = losses_of(finite, loss, v)
    yield link("softmax: |excess| <= error", abs(at_p - tau), finite.over_task(error.abs()), unit)
    yield from error_chain("softmax", finite, errors, v.v, v.radius, bound, eps, unit)


def conditional_mean(finite: Finite, loss: Loss, v: Natural, bound: float, best: Projection) -> Iterator[Link]:
    """The d numbers Phi p_f: their least loss is at most tau_Phi(B) + B (2 eps / gamma)^(1/2).

    Args:
        finite: contexts, truth, model and task, with the head.
        loss: "logistic" or "hinge".
        v: a minimiser for tau_Phi(B).
        bound: B.
        best: p_f*.

    Yields:
        The links.
    """
    check_lipschitz(loss)
    _, phi, _ = finite.head
    unit, means = unit_of(loss), along(finite.p, phi.T)
    weight, shift = coefficients(phi, v)
    scores = means @ weight + shift
    tau, at_p = losses_of(finite, loss, v)
    at_means = finite.over_task(expected(loss, scores, finite.eta))
    yield link("conditional mean: loss of lambda = loss of v on p_f", at_means, at_p, unit, "=")
    least = fixed(least_loss(loss, means, finite.eta, finite.task_weights), at_means)
    right = tau + bound_of(bound, savable(finite, best), finite.gamma)
    yield link("conditional mean: least loss <= tau + bound", smaller(least, at_means), right, unit)


def coefficients(phi: Tensor, v: Natural) -> tuple[Tensor, float]:
    """(lambda [d], c) with v = Phi^T lambda + a constant and the scores v . p + intercept = lambda . Phi p + c."""
    centred = phi - phi.mean(1, keepdim=True)
    weight = torch.linalg.lstsq(centred.T, (v.v - v.v.mean())[:, None], driver="gelsd").solution[:, 0]
    return weight, v.intercept + float((v.v - phi.T @ weight).mean())


def features(
    finite: Finite, loss: Loss, v: Natural, bound: float, best: Projection, quadratic: Quadratic, name: str = "features"
) -> Iterator[Link]:
    """The features f, through a quadratic form for log Z: its gradient A f + b is nearly Phi p_f.

        loss(f)  <=  loss(Phi p_f, lambda) + E_T |lambda . (Phi p_f - A f - b)|

    Args:
        finite: contexts, truth, model and task, with the head.
        loss: "logistic" or "hinge".
        v: a minimiser for tau_Phi(B).
        bound: B.
        best: p_f*.
        quadratic: the form; any is valid, a better one makes the residual smaller.
        name: with which the links begin.

    Yields:
        The links.
    """
    check_lipschitz(loss)
    f, phi, _ = finite.head
    unit, means = unit_of(loss), along(finite.p, phi.T)
    weight, shift = coefficients(phi, v)
    predicted = quadratic.gradient(f)
    at_means = finite.over_task(expected(loss, means @ weight + shift, finite.eta))
    at_f = finite.over_task(expected(loss, predicted @ weight + shift, finite.eta))
    residual = finite.over_task(((means - predicted) @ weight).abs())
    yield link(f"{name}: loss of A lambda on f <= loss of lambda + residual", at_f, at_means + residual, unit)
    least = fixed(least_loss(loss, f, finite.eta, finite.task_weights), at_f)
    tau, _ = losses_of(finite, loss, v)
    right = tau + bound_of(bound, savable(finite, best), finite.gamma) + residual
    yield link(f"{name}: least loss <= tau + bound + residual", smaller(least, at_f), right, unit)


def quad(finite: Finite, loss: Loss, v: Natural, bound: float) -> Iterator[Link]:
    """The Quad objective: predictions q = Phi^T f + b of the projection of p* on the row space of Phi and b.

    With eps_quad = E_L |q - Pi p*|^2 / 2 and v = v' + c, v' in the row space, the head (Phi Phi^T) lambda on f has

        loss(f) - tau  <=  E_T |v' . (q - Pi p*)|  <=  ...  <=  |v'|_2 (2 eps_quad / gamma)^(1/2).

    Args:
        finite: contexts, truth, model and task, with the head; its probabilities are not read.
        loss: "logistic" or "hinge".
        v: a minimiser for tau_Phi(B).
        bound: B.

    Yields:
        The links.
    """
    check_lipschitz(loss)
    f, phi, bias = finite.head
    unit = unit_of(loss)
    rows = row_space(phi, bias)
    # Predictions, projections and their errors lie in the row space, so that its coordinates, which are fewer, say all.
    predicted, projected = f @ (phi @ rows) + bias @ rows, along(finite.truth, rows)
    errors = predicted - projected
    eps = finite.over_language(errors.square().sum(1) / 2)
    weight, shift = coefficients(phi, v)
    inside = rows.T @ (phi.T @ weight)
    scores = predicted @ inside + shift
    tau = finite.over_task(expected(loss, projected @ inside + shift, finite.eta))
    own, _ = losses_of(finite, loss, v)
    yield link("quad: loss of v' on the projection = tau", tau, own, unit, "=")
    at_f = finite.over_task(expected(loss, scores, finite.eta))
    yield link("quad: |excess| <= error", abs(at_f - tau), finite.over_task((errors @ inside).abs()), unit)
    size = float(inside.norm())
    yield from error_chain("quad", finite, errors, inside, size, size, eps, unit)
    least = fixed(least_loss(loss, f, finite.eta, finite.task_weights), at_f)
    right = tau + bound_of(size, eps, finite.gamma)
    yield link("quad: least loss of f <= tau + bound", smaller(least, at_f), right, unit)
