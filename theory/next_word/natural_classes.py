"""tau(B) for k classes: the least cross-entropy of softmax(V p* + c) with every entry of V between -B and B."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError

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


def natural_classes(probabilities: Tensor, law: Tensor, weights: Tensor, bound: float) -> NaturalClasses:
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
    p, y = probabilities[used].double(), law[used].double()
    w = (weights[used] / weights[used].sum()).double()
    k, classes = y.shape[1], p.shape[1]
    if float((w @ y).min()) <= 0:
        raise InputError("a class of the task never occurs on these contexts, expected all; choose another task")
    x = torch.nn.functional.pad(p, (0, 1), value=1.0)

    def function(flat: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> "tuple[float, np.ndarray]":
        scores = (x @ torch.from_numpy(flat).view(k, classes + 1).T).log_softmax(1)
        gradient = (w[:, None] * (scores.exp() - y)).T @ x
        return float(-(w @ (y * scores).sum(1))), gradient.numpy().ravel()

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
