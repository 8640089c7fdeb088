"""A primal-dual interior-point method for a smooth convex loss of linear scores under bounds, with a certificate.

    min F(x, c) = sum_i w_i loss(X_i . x + c)    subject to |A x|_inf <= 1

Newton steps towards the minimum of F - mu sum_j log(1 - (A x)_j^2), with mu falling (Nocedal and Wright 2006, chapter
19). A convex F lies above its tangents, so with the gradient g = A^T y of F in x, at any point (x, c) with dF / dc = 0,

    F(x, c) - (g . x + |y|_1)  <=  min  <=  F(x, c).
"""

import math

import torch
from torch import Tensor

from ...errors import InputError
from .losses import Loss, expected, smooth
from .rows import Table, each, parts, total

SHRINK, NEWTON_STEPS, ROUNDS = 0.2, 12, 200
"""The factor of mu from one round to the next, Newton steps a round at most, and rounds at most."""

INSIDE = 0.99
"""The share of the way to the boundary that one step may go."""


def with_ones(features: Tensor) -> Tensor:
    """Features [m, n] and a column of ones."""
    return torch.nn.functional.pad(features, (0, 1), value=1.0)


class Problem:
    """The data of a minimisation.

    Args:
        features: X [m, n] and a column of ones, whose factor is c.
        limits: A [k, n], of full rank n.
        eta: P(y = 1), [m].
        weights: w [m], all positive; they are scaled to the sum 1.
        bound: the largest score that x can give, which bounds how far the best intercept c can lie.

    Raises:
        InputError: for a label that is always the same, where no best intercept exists.
    """

    def __init__(self, features: Table, limits: Tensor, eta: Tensor, weights: Tensor, bound: float) -> None:
        self.eta, self.weights, self.limits, self.bound = eta, weights / weights.sum(), limits, bound
        self.identity = len(limits) == limits.shape[1] and bool((limits == torch.eye(len(limits)).to(limits)).all())
        self.features = features
        self.table = torch.nn.functional.pad(limits, (0, 1))
        self.rare = min(float(self.weights @ eta), float(self.weights @ (1 - eta)))
        if self.rare <= 0:
            raise InputError("the task has one label alone on these contexts, expected both; choose another task")

    def loss(self, loss: Loss, x: Tensor) -> float:
        """F at x, whose last entry is c."""
        return float(self.weights @ expected(loss, self.scores(x), self.eta))

    def scores(self, x: Tensor) -> Tensor:
        """X x + c [m]."""
        return each(lambda rows: rows @ x, self.features)

    def weighted(self, by: Tensor) -> Tensor:
        """X^T y of y [m]: [n + 1]."""
        return total(lambda rows, y: rows.T @ y, self.features, by)

    def gram(self, by: Tensor) -> Tensor:
        """X^T diag(y) X of y [m]: [n + 1, n + 1]."""
        return total(lambda rows, y: rows.T @ (rows * y[:, None]), self.features, by)

    def linear_gap(self, x: Tensor, gradient: Tensor, dual: Tensor) -> float:
        """max over feasible x' of g . (x - x'), an upper bound where A is not square.

        Args:
            x: [n + 1], its last entry c.
            gradient: g [n + 1].
            dual: y [k] with A^T y about g; it is corrected so that the equation holds.

        Returns:
            The gap; it is 0 at the minimum.
        """
        own, slope = gradient[:-1], float(gradient[-1])
        if self.identity:
            y = own
        else:
            normal = self.limits.T @ self.limits
            y = dual + self.limits @ torch.linalg.lstsq(normal, (own - self.limits.T @ dual)[:, None]).solution[:, 0]
        # Beyond this intercept the loss exceeds that of the score 0, which is at most 1.
        farthest = self.bound + 1 + 1 / self.rare
        return float(own @ x[:-1] + y.abs().sum()) + abs(slope) * (abs(float(x[-1])) + farthest)


def solve_smooth(problem: Problem, loss: Loss, tolerance: float) -> tuple[Tensor, float]:
    """The minimiser of a smooth loss.

    Args:
        problem: its data.
        loss: "logistic" or "square".
        tolerance: the width of the certificate at which the search ends.

    Returns:
        (x [n + 1] with c as its last entry, a lower bound of the minimum).
    """
    table, n = problem.table, problem.table.shape[1]
    x = torch.zeros(n, dtype=torch.float64, device=table.device)
    # A first intercept with the right mean label keeps the first steps short.
    mean = float(problem.weights @ problem.eta)
    x[-1] = math.log(mean / (1 - mean)) if loss == "logistic" else 2 * mean - 1
    upper = torch.full((len(table),), 0.1 / len(table), dtype=torch.float64, device=table.device)
    duals = upper, upper.clone()
    barrier, last = 0.1 / len(table), 1e-5 * tolerance / len(table)
    chosen, best, lowest = x, math.inf, -math.inf
    for _ in range(ROUNDS):
        moved, duals = _centre(problem, loss, x, duals, barrier)
        if not bool(moved.isfinite().all()):
            break
        x = moved
        value, gradient, _ = _derivatives(problem, loss, x)
        lowest = max(lowest, value - problem.linear_gap(x, gradient, duals[1] - duals[0]))
        if value < best:
            best, chosen = value, x
        if best - lowest <= tolerance or barrier < last:
            break
        barrier *= SHRINK
    return chosen, lowest


def _derivatives(problem: Problem, loss: Loss, x: Tensor) -> tuple[float, Tensor, Tensor]:
    """F, its gradient and its Hessian."""
    value, slope = 0.0, torch.zeros_like(x)
    hessian = x.new_zeros(len(x), len(x))
    for rows, eta, weights in parts(problem.features, problem.eta, problem.weights):
        values, first, second = smooth(loss, rows @ x, eta)
        value += float(weights @ values)
        slope += rows.T @ (weights * first)
        hessian += rows.T @ (rows * (weights * second)[:, None])
    return value, slope, hessian


def _centre(
    problem: Problem, loss: Loss, x: Tensor, duals: tuple[Tensor, Tensor], barrier: float
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Newton steps towards the minimum of F - barrier sum_j log(1 - (A x)_j^2)."""
    table, (upper, lower) = problem.table, duals

    def walls(at: Tensor) -> float:
        return -barrier * float((1 - at).log().sum() + (1 + at).log().sum())

    for _ in range(NEWTON_STEPS):
        value, gradient, hessian = _derivatives(problem, loss, x)
        at = table @ x
        over, under = 1 - at, 1 + at
        pull = gradient + table.T @ (barrier / over - barrier / under)
        step = -solve_normal(hessian + table.T @ (table * (upper / over + lower / under)[:, None]), pull)
        move = table @ step
        rises = barrier / over - upper + upper / over * move, barrier / under - lower - lower / under * move
        share, slope, here = min(1.0, most(over, -move), most(under, move)), float(pull @ step), value + walls(at)
        while share > 1e-10:
            there = problem.loss(loss, x + share * step) + walls(at + share * move)
            if there <= here + 1e-4 * share * slope + 1e-15:
                break
            share /= 2
        x = x + share * step
        upper, lower = (
            dual + min(1.0, most(dual, rise)) * rise for dual, rise in zip((upper, lower), rises, strict=True)
        )
        if -slope < 1e-2 * barrier * len(table):
            break
    return x, (upper, lower)


def solve_normal(matrix: Tensor, right: Tensor) -> Tensor:
    """The solution of a positive semidefinite system, its diagonal raised by a rounding error's worth; nan for none."""
    scale = matrix.diagonal().clamp(min=1e-300).rsqrt()
    # With a diagonal of ones, what is added is small beside each entry.
    matrix = matrix * scale * scale[:, None]
    for raised in (1e-15, 1e-12, 1e-9):
        matrix.diagonal().add_(raised)
        factor, failed = torch.linalg.cholesky_ex(matrix)
        if not bool(failed):
            return scale * torch.cholesky_solve((scale * right)[:, None], factor)[:, 0]
    return torch.full_like(right, torch.nan)


def most(room: Tensor, move: Tensor) -> float:
    """The largest t such that room + t move is still positive, a little less; infinite where nothing shrinks."""
    shrinking = move < 0
    return math.inf if not bool(shrinking.any()) else INSIDE * float((room[shrinking] / -move[shrinking]).min())
