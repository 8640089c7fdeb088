"""Expected losses of a score against a random label y = +-1 with P(y = 1 | s) = eta_s.

    logistic  log(1 + e^(-y u))        hinge  max(0, 1 - y u)        square  (1 - y u)^2

The first two are convex and 1-Lipschitz in the score u; the square is convex alone.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...errors import unknown

Loss = Literal["logistic", "hinge", "square"]
LOSSES: tuple[Loss, ...] = ("logistic", "hinge", "square")


def check_loss(loss: str) -> None:
    """Raises InputError unless the loss is one of LOSSES."""
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)


def expected(loss: Loss, scores: Tensor, eta: Tensor) -> Tensor:
    """The expectation of the loss over the label.

    Args:
        loss: one of LOSSES.
        scores: u, [m].
        eta: P(y = 1 | s), [m].

    Returns:
        [m], nats for the logistic loss.
    """
    if loss == "logistic":
        return eta * F.softplus(-scores) + (1 - eta) * F.softplus(scores)
    if loss == "hinge":
        return eta * (1 - scores).clamp(min=0) + (1 - eta) * (1 + scores).clamp(min=0)
    return eta * (1 - scores).square() + (1 - eta) * (1 + scores).square()


def smooth(loss: Loss, scores: Tensor, eta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The expected loss with its first two derivatives in the score.

    Args:
        loss: "logistic" or "square".
        scores: u, [m].
        eta: P(y = 1 | s), [m].

    Returns:
        (value, first, second derivative), [m] each.
    """
    value = expected(loss, scores, eta)
    if loss == "square":
        return value, 2 * (scores - (2 * eta - 1)), torch.full_like(scores, 2.0)
    p = scores.sigmoid()
    return value, p - eta, p * scores.neg().sigmoid()
