"""The hinge loss of linear scores under bounds: a linear program, by a primal-dual interior-point method.

    min  sum_k a_k xi_k    subject to  xi_k >= 0,  xi_k >= 1 - y_k (X_k . x + c),  |A x|_inf <= 1

with a context's two labels as two rows k, of weights a = w eta and w (1 - eta). Multipliers alpha in [0, a] of the
second constraint with sum_k y_k alpha_k = 0 certify a lower bound, with A^T z = sum_k y_k alpha_k X_k:

    sum_k alpha_k - |z|_1  <=  min.

Each step solves an n x n system, so that many contexts cost little (Nocedal and Wright 2006, chapter 14).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .interior_point import Problem, most, solve_normal

ROUNDS = 200
"""Steps at most."""

CENTRE, STALLED = 0.1, 0.7
"""The factor of the complementarity that a step aims at, and the one after a step that could not go far."""


@dataclass(frozen=True)
class _State:
    """x [n + 1]; xi and alpha [rows]; the multipliers of A x <= 1 and -A x <= 1."""

    x: Tensor
    excess: Tensor
    alpha: Tensor
    upper: Tensor
    lower: Tensor


@dataclass(frozen=True)
class _Rows:
    """y_k (X_k, 1) of the rows k, which are kept as contexts and signs alone."""

    problem: Problem
    context: Tensor
    sign: Tensor

    def times(self, x: Tensor) -> Tensor:
        """y_k (X_k . x + c), [rows]."""
        return self.sign * self.problem.scores(x)[self.context]

    def weighted(self, by: Tensor) -> Tensor:
        """sum_k y_k b_k (X_k, 1) of b [rows], [n + 1]."""
        return self.problem.weighted(self._sums(self.sign * by))

    def gram(self, by: Tensor) -> Tensor:
        """sum_k b_k (X_k, 1) (X_k, 1)^T of b [rows], [n + 1, n + 1]."""
        return self.problem.gram(self._sums(by))

    def _sums(self, by: Tensor) -> Tensor:
        return torch.zeros_like(self.problem.weights).index_add(0, self.context, by)


def solve_hinge(problem: Problem, tolerance: float) -> tuple[Tensor, float]:
    """The minimiser of the hinge loss.

    Args:
        problem: its data.
        tolerance: the width of the certificate at which the search ends.

    Returns:
        (x [n + 1] with c as its last entry, a lower bound of the minimum).
    """
    weight = torch.cat([problem.weights * problem.eta, problem.weights * (1 - problem.eta)])
    kept = weight > 0
    sign = torch.ones_like(weight)
    sign[len(problem.weights) :] = -1
    weight, sign = weight[kept], sign[kept]
    context = torch.arange(len(problem.weights), device=weight.device).repeat(2)[kept]
    rows, sides = _Rows(problem, context, sign), len(problem.table)
    start = torch.full((sides,), 1 / sides, dtype=torch.float64, device=weight.device)
    x = torch.zeros(problem.table.shape[1], dtype=torch.float64, device=weight.device)
    now = _State(x, torch.full_like(weight, 2.0), weight / 2, start, start)
    chosen, best, lowest, target = x, math.inf, -math.inf, CENTRE
    for _ in range(ROUNDS):
        moved, share = _step(problem, rows, weight, now, target)
        if not bool(moved.x.isfinite().all() and moved.alpha.isfinite().all()):
            break
        now = moved
        target = CENTRE if share > 0.5 else STALLED
        value = problem.loss("hinge", now.x)
        if value < best:
            best, chosen = value, now.x
        alpha = _balanced(now.alpha, sign)
        # linear_gap at x = 0 is |z|_1; the intercept adds a rounding error.
        gap = problem.linear_gap(0 * now.x, -rows.weighted(alpha), now.lower - now.upper)
        lowest = max(lowest, float(alpha.sum()) - gap)
        if best - lowest <= tolerance or share < 1e-8:
            break
    return chosen, lowest


def _balanced(alpha: Tensor, sign: Tensor) -> Tensor:
    """The multipliers with those of one sign made smaller, so that sum_k y_k alpha_k = 0."""
    up, down = float(alpha[sign > 0].sum()), float(alpha[sign < 0].sum())
    return alpha * torch.where(sign > 0, min(1.0, down / up), min(1.0, up / down))


def _step(problem: Problem, rows: _Rows, weight: Tensor, now: _State, target: float) -> tuple[_State, float]:
    """One Newton step on the perturbed optimality conditions, and how far it went."""
    table, at = problem.table, problem.table @ now.x
    over, under = 1 - at, 1 + at
    beta, slack = weight - now.alpha, now.excess - 1 + rows.times(now.x)
    products = slack @ now.alpha + now.excess @ beta + over @ now.upper + under @ now.lower
    mu = target * float(products) / (2 * len(weight) + 2 * len(table))
    scale = slack + now.alpha * now.excess / beta
    pushed = (mu - slack * now.alpha - now.alpha * (mu / beta - now.excess)) / scale
    matrix = rows.gram(now.alpha / scale)
    matrix += table.T @ (table * (now.upper / over + now.lower / under)[:, None])
    right = rows.weighted(now.alpha + pushed) - table.T @ (mu / over - mu / under)
    step = solve_normal(matrix, right)
    move, up = table @ step, rows.times(step)
    alpha = pushed - now.alpha / scale * up
    excess = (mu - now.excess * beta + now.excess * alpha) / beta
    upper = mu / over - now.upper + now.upper / over * move
    lower = mu / under - now.lower - now.lower / under * move
    primal = min(1.0, most(over, -move), most(under, move), most(now.excess, excess), most(slack, excess + up))
    dual = min(1.0, most(now.alpha, alpha), most(beta, -alpha), most(now.upper, upper), most(now.lower, lower))
    moved = replace(
        now,
        x=now.x + primal * step,
        excess=now.excess + primal * excess,
        alpha=now.alpha + dual * alpha,
        upper=now.upper + dual * upper,
        lower=now.lower + dual * lower,
    )
    return moved, min(primal, dual)
