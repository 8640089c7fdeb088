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
from .interior_point import Problem, solve_smooth, with_ones
from .losses import Loss, check_loss, expected
from .rows import Table, each, table_of, total

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

    def scores(self, probabilities: Table) -> Tensor:
        """v . p + c of probabilities [m, C]: [m]."""
        return each(lambda p: p.double() @ self.v, probabilities) + self.intercept


def natural(
    loss: Loss,
    probabilities: Table,
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
    used = weights > 0
    if basis is None:
        table = torch.eye(probabilities.shape[1], dtype=torch.float64, device=probabilities.device)
        count = int(used.sum())
        features = table_of(lambda p, of: with_ones(bound * p[of].double()), probabilities, used, count=count)
    else:
        table = torch.cat([basis.double(), torch.ones_like(basis[:, :1], dtype=torch.float64)], 1)
        features = each(lambda p, of: with_ones(bound * (p[of].double() @ table)), probabilities, used)
    problem = Problem(features, table, eta[used].double(), weights[used].double(), bound)
    x, lowest = _solve(loss, problem, tolerance)
    v, intercept = bound * (table @ x[:-1]), float(x[-1])
    middle = float(v.max() + v.min()) / 2
    coefficients = v - middle if basis is None else bound * x[:-2]
    found = Natural(v - middle, coefficients, intercept + middle, 0.0, 0.0)
    share = weights.double() / weights.sum()
    value = float(share @ expected(loss, found.scores(probabilities), eta.double()))
    return Natural(found.v, coefficients, found.intercept, value, min(lowest, value))


def _solve(loss: Loss, problem: Problem, tolerance: float) -> tuple[Tensor, float]:
    return solve_hinge(problem, tolerance) if loss == "hinge" else solve_smooth(problem, loss, tolerance)


def least_loss(loss: Loss, features: Table, eta: Tensor, weights: Tensor, bound: float = 1e3) -> float:
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
    used, share = weights > 0, (weights / weights.sum()).double()
    if float(share @ eta.double()) in (0.0, 1.0):
        return 0.0
    centre = total(lambda x, w: w @ x.double(), features, share)
    spread = total(lambda x, w: w @ (x.double() - centre).square(), features, share).sqrt()
    constant = spread <= 1e-12 * (1 + centre.abs())
    # Constant features become 0.
    scale = bound / torch.where(constant, torch.inf, spread)
    kept = ~constant | constant.all()

    def standardised(x: Tensor, of: Tensor) -> Tensor:
        return with_ones(((x[of].double() - centre) * scale)[:, kept])

    rows = table_of(standardised, features, used, count=int(used.sum()))
    table = torch.eye(int(kept.sum()), dtype=torch.float64, device=features.device)
    problem = Problem(rows, table, eta[used].double(), share[used], bound)
    found, _ = _solve(loss, problem, 1e-6)
    return problem.loss(loss, found)
