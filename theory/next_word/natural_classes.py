"""tau(B) for k classes: the least cross-entropy of softmax(V p* + c) with every entry of V between -B and B."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from .interior_point import with_ones
from .rows import Table, parts, table_of

ITERATIONS = 5000


@dataclass(frozen=True)
class NaturalClasses:
    """Bounded linear scores of k classes, with a certificate.

    Args:
        table: V [k, C].
        intercepts: c [k].
        loss: the cross-entropy, an upper bound of the minimum, nats.
        least: a lower bound of the minimum.
    """

    table: Tensor
    intercepts: Tensor
    loss: float
    least: float


def natural_classes(probabilities: Table, law: Tensor, weights: Tensor, bound: float) -> NaturalClasses:
    """Finds V and c by L-BFGS-B.

    Args:
        probabilities: p* [m, C].
        law: P(y = k | s) [m, k].
        weights: of the contexts [m].
        bound: B.

    Returns:
        The minimiser; loss - least is g . V + B |g|_1 of the gradient g, with c at its optimum to rounding.

    Raises:
        InputError: for a class that has no probability at any context.
    """
    from scipy.optimize import minimize

    used = weights > 0
    y = law[used].double()
    w = (weights[used] / weights[used].sum()).double()
    k, classes = y.shape[1], probabilities.shape[1]
    if float((w @ y).min()) <= 0:
        raise InputError("a class of the task never occurs on these contexts, expected all; choose another task")
    x = table_of(lambda p, of: with_ones(p[of].double()), probabilities, used, count=len(y))

    def function(flat: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> "tuple[float, np.ndarray]":
        at, value, gradient = torch.from_numpy(flat).view(k, classes + 1), 0.0, y.new_zeros(k, classes + 1)
        for rows, labels, weight in parts(x, y, w):
            scores = (rows @ at.T).log_softmax(1)
            gradient += (weight[:, None] * (scores.exp() - labels)).T @ rows
            value -= float(weight @ (labels * scores).sum(1))
        return value, gradient.numpy().ravel()

    start = np.zeros((k, classes + 1))
    start[:, -1] = (w @ y).log().numpy()
    limits = ([(-bound, bound)] * classes + [(None, None)]) * k
    options = {"maxiter": ITERATIONS, "maxfun": 2 * ITERATIONS, "ftol": 1e-15, "gtol": 1e-10}
    found = minimize(function, start.ravel(), jac=True, method="L-BFGS-B", bounds=limits, options=options)
    solution = torch.from_numpy(np.array(found.x)).view(k, classes + 1)
    value, gradient = function(found.x)
    slope = torch.from_numpy(gradient).view(k, classes + 1)
    table, intercepts = solution[:, :-1], solution[:, -1]
    gap = float((slope[:, :-1] * table).sum() + bound * slope[:, :-1].abs().sum())
    # Classes farther apart than this cost more than equal scores, log k.
    farthest = 2 * bound + (np.log(k) + 1) / float((w @ y).min())
    gap += float(slope[:, -1].abs().sum()) * (farthest + float((intercepts - intercepts.mean()).abs().max()))
    return NaturalClasses(table, intercepts, value, value - gap)
