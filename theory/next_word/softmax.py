"""Softmax models with fixed word features: p_theta = softmax(Phi^T theta + b), one theta a context.

For given Phi [d, C] and bias b [C] the best theta of a context minimises KL(p* || p_theta), which is convex. At the
minimum theta* the means agree, Phi p_theta* = Phi p*, and every theta has

    KL(p* || p_theta) = KL(p* || p_theta*) + KL(p_theta* || p_theta).

So the loss that a model could still save with its Phi is exactly E KL(p_theta* || p_theta). Where Phi p* lies on the
boundary of the hull of the words' features the minimum is a limit, in which the words off that face have probability 0.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .rows import Table, table_of

NEWTON_STEPS, MEANS_AGREE = 200, 1e-11
"""Newton steps at most, and the difference of means at which they end."""

RANK = 1e-10
"""Singular values below this share of the largest count as 0."""

AT_ONCE = 2**22
"""Numbers of the Hessians that are held at once."""


def row_basis(phi: Tensor) -> Tensor:
    """An orthonormal basis of the words' features up to constants.

    Args:
        phi: Phi [d, C].

    Returns:
        Q [C, r], whose columns and the constant vector span the rows of Phi and the constant one; r <= min(d, C - 1).
    """
    centred = phi.double() - phi.double().mean(1, keepdim=True)
    _, values, rows = torch.linalg.svd(centred, full_matrices=False)
    kept: Tensor = rows[values > RANK * max(float(values[0]), 1e-300)]
    return kept.T.contiguous()


@dataclass(frozen=True)
class Projection:
    """The best softmax model with given word features, context by context.

    Args:
        log_p: log p_theta* [m, C], also where p_theta* itself is too small for a double.
        disagreement: the largest |Q^T (p_theta* - p*)|, 0 where every distribution can be reached.
    """

    log_p: Table
    disagreement: float

    @cached_property
    def p(self) -> Table:
        """p_theta* [m, C]."""
        return table_of(torch.exp, self.log_p)


def best_softmax(basis: Tensor, bias: Tensor, truth: Table, start: Table | None = None) -> Projection:
    """The minimisers of KL(p* || softmax(Q theta + b)), by damped Newton steps.

    Args:
        basis: Q [C, r] of `row_basis`.
        bias: b [C].
        truth: p* [m, C].
        start: log-probabilities [m, C] of a model of this form, from which the search starts.

    Returns:
        The distributions.
    """
    bias = bias.double()
    if basis.shape[1] >= truth.shape[1] - 1:
        return Projection(table_of(lambda some: some.double().log(), truth), 0.0)
    size = max(1, AT_ONCE // max(1, basis.shape[1] * max(basis.shape)))
    apart = []

    def found(some: Tensor, *begin: Tensor) -> Tensor:
        log_p = []
        for rows in torch.arange(len(some), device=some.device).split(size):
            theta = torch.zeros(len(rows), basis.shape[1], dtype=torch.float64, device=some.device)
            if begin:
                theta = (begin[0][rows].double() - bias) @ basis
            log_p.append(_newton(basis, bias, some[rows].double(), theta))
            apart.append(float(((log_p[-1].exp() - some[rows]) @ basis).abs().max()))
        return torch.cat(log_p)

    return Projection(table_of(found, truth, *([] if start is None else [start])), max(apart))


def _newton(basis: Tensor, bias: Tensor, truth: Tensor, theta: Tensor) -> Tensor:
    """log p_theta* [m, C], from theta [m, r]."""
    target = truth @ basis
    eye = torch.eye(basis.shape[1], dtype=torch.float64, device=basis.device)

    def potential(at: Tensor) -> Tensor:
        """log Z - theta . Q^T p*, [m]: KL(p* || p_theta) up to a constant."""
        return (at @ basis.T + bias).logsumexp(1) - (at * target).sum(1)

    value = potential(theta)
    for _ in range(NEWTON_STEPS):
        p = (theta @ basis.T + bias).softmax(1)
        wrong = p @ basis - target
        if float(wrong.abs().max()) < MEANS_AGREE:
            break
        mean = p @ basis
        hessian = torch.einsum("mc,cr,cs->mrs", p, basis, basis) - mean[:, :, None] * mean[:, None]
        ridge = 1e-13 + 1e-10 * wrong.norm(dim=1)
        step = -torch.linalg.solve(hessian + ridge[:, None, None] * eye, wrong[..., None])[..., 0]
        # log Z is self-concordant-like in the largest change of a logit: long steps are cut before they are tried.
        span = (step @ basis.T).abs().amax(1)
        share = (8 / span.clamp(min=1e-300)).clamp(max=1.0)
        slope = (step * wrong).sum(1)
        for _ in range(40):
            there = potential(theta + share[:, None] * step)
            bad = there > value + 1e-4 * share * slope + 1e-14
            if not bool(bad.any()):
                break
            share = torch.where(bad, share / 2, share)
        theta = theta + share[:, None] * step
        value = potential(theta)
    return (theta @ basis.T + bias).log_softmax(1)


def kl(truth: Tensor, log_p: Tensor) -> Tensor:
    """KL(truth || p) [m] from p* [m, C] and log p [m, C], nats."""
    truth, log_p = truth.double(), log_p.double()
    return (truth.xlogy(truth) - torch.where(truth > 0, truth * log_p, 0.0)).sum(1).clamp(min=0)
