"""How natural a task is for next-word prediction: the least loss of a bounded linear function of the next word's law.

    tau(B) = min { E_T loss(v . p*(. | s), y) : (max v - min v) / 2 <= B }

Since sum_w p*_w = 1, v + c has the score v . p* + c: an intercept is free, and v counts up to a constant. Restricted to
the words' features of a model, v = Phi^T lambda + c, the same minimum is tau_Phi(B).

The minimum comes with a certificate, an upper and a lower bound of it; see `interior_point` and `hinge`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from .hinge import solve_hinge
from .interior_point import Problem, solve_smooth
from .losses import Loss, check_loss, expected

TOLERANCE = 1e-7
"""The width of the certificate at which the search ends."""


@dataclass(frozen=True)
class Natural:
    """A bounded linear function of probabilities, with its loss and a certificate of how good it is.

    Args:
        v: [C], centred so that its largest and least entry are opposite.
        coefficients: lambda [r] of v = A lambda, up to a constant; v itself where no A was given.
        intercept: c.
        loss: F at this point, an upper bound of the minimum.
        least: a lower bound of the minimum.
    """

    v: Tensor
    coefficients: Tensor
    intercept: float
    loss: float
    least: float

    @property
    def radius(self) -> float:
        """(max v - min v) / 2."""
        return float(self.v.max() - self.v.min()) / 2

    def scores(self, probabilities: Tensor) -> Tensor:
        """v . p + c of probabilities [m, C]: [m]."""
        return probabilities.double() @ self.v + self.intercept


def natural(
    loss: Loss,
    probabilities: Tensor,
    eta: Tensor,
    weights: Tensor,
    bound: float,
    basis: Tensor | None = None,
    tolerance: float = TOLERANCE,
) -> Natural:
    """tau(B), or tau_Phi(B), to a certificate.

    Args:
        loss: "logistic", "hinge" or "square".
        probabilities: p* [m, C].
        eta: P(y = 1 | s), [m].
        weights: of the contexts, [m], not negative.
        bound: B.
        basis: A [C, r], so that v = A lambda + a constant; every v unless given.
        tolerance: of the certificate.

    Returns:
        The minimiser.

    Raises:
        InputError: for an unknown loss, a bound that is not positive, and a label that is always the same.
    """
    check_loss(loss)
    if not 0 < bound < math.inf:
        raise InputError(f"bound is {bound}, expected a positive number; correct it")
    p, classes = probabilities.double(), probabilities.shape[1]
    table = torch.eye(classes, dtype=torch.float64, device=p.device)
    if basis is not None:
        table = torch.cat([basis.double(), torch.ones_like(basis[:, :1], dtype=torch.float64)], 1)
    used = weights > 0
    problem = Problem(bound * (p[used] @ table), table, eta[used].double(), weights[used].double(), bound)
    x, lowest = _solve(loss, problem, tolerance)
    v, intercept = bound * (table @ x[:-1]), float(x[-1])
    middle = float(v.max() + v.min()) / 2
    coefficients = v - middle if basis is None else bound * x[:-2]
    found = Natural(v - middle, coefficients, intercept + middle, 0.0, 0.0)
    share = weights.double() / weights.sum()
    value = float(share @ expected(loss, found.scores(p), eta.double()))
    return Natural(found.v, coefficients, found.intercept, value, min(lowest, value))


def _solve(loss: Loss, problem: Problem, tolerance: float) -> tuple[Tensor, float]:
    return solve_hinge(problem, tolerance) if loss == "hinge" else solve_smooth(problem, loss, tolerance)


def least_loss(loss: Loss, features: Tensor, eta: Tensor, weights: Tensor, bound: float = 1e3) -> float:
    """inf over lambda and c of E_T loss(lambda . g(s) + c), from above: the fit of standardised features is bounded.

    Args:
        loss: "logistic", "hinge" or "square".
        features: g [m, d].
        eta: P(y = 1 | s), [m].
        weights: of the contexts, [m].
        bound: of each coefficient of the standardised features.

    Returns:
        The loss of a fit, which the infimum does not exceed; 0 where the label is always the same.
    """
    used = weights > 0
    x, share = features[used].double(), (weights[used] / weights[used].sum()).double()
    if float(share @ eta[used].double()) in (0.0, 1.0):
        return 0.0
    centre = share @ x
    spread = (share @ (x - centre).square()).sqrt()
    constant = spread <= 1e-12 * (1 + centre.abs())
    # Constant features become 0.
    x = (x - centre) / torch.where(constant, torch.inf, spread)
    if not bool(constant.all()):
        x = x[:, ~constant]
    table = torch.eye(x.shape[1], dtype=torch.float64, device=x.device)
    problem = Problem(bound * x, table, eta[used].double(), share, bound)
    found, _ = _solve(loss, problem, 1e-6)
    return float(problem.weights @ expected(loss, problem.features @ found, problem.eta))
