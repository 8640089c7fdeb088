"""What the theorems on next-word prediction speak of: finitely many contexts with all that is known of each.

L    the contexts on which the model is trained, with weights p_L(s)
T    those of the task, with weights p_T(s) and the law of the label, P(y | s)
gamma = min_s p_L(s) / p_T(s), the largest gamma with p_L >= gamma p_T
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from .measured import Measured, mean
from .rows import Table, each, table_of, total, triangle
from .softmax import kl

RANGE = 1e-13
"""Directions in which the error is smaller than this share of the largest count as outside its range."""


@dataclass(frozen=True)
class Finite:
    """Contexts, truth, model and task.

    Args:
        weights: p_L, [m], up to a factor.
        task_weights: p_T, [m], up to a factor; 0 where p_L is.
        truth: p* [m, C]; in a file where it does not fit into memory, as is what is made of it.
        log_p: log-probabilities of the model [m, C].
        posterior: P(y = k | s) [m, K]; rows of contexts outside the task are not read.
        clusters: the sentence of each context [m]; None where the contexts are all there are.
        features: f(s) [m, d] of the model; None where nothing is said of them.
        phi: Phi [d, C] of a model with log_p = log softmax(Phi^T f + bias).
        bias: [C].
    """

    weights: Tensor
    task_weights: Tensor
    truth: Table
    log_p: Table
    posterior: Tensor
    clusters: Tensor | None = None
    features: Tensor | None = None
    phi: Tensor | None = None
    bias: Tensor | None = None

    @cached_property
    def p(self) -> Table:
        """Probabilities of the model [m, C]."""
        return table_of(lambda log_p: log_p.double().exp(), self.log_p)

    @cached_property
    def eta(self) -> Tensor:
        """P(y = 1 | s) [m] of a label of two classes, the second of which is y = 1."""
        return self.posterior[:, 1].double()

    @property
    def head(self) -> tuple[Tensor, Tensor, Tensor]:
        """(f, Phi, bias), which a softmax model has."""
        assert self.features is not None
        assert self.phi is not None
        bias = torch.zeros_like(self.phi[0]) if self.bias is None else self.bias
        return self.features.double(), self.phi.double(), bias.double()

    def over_language(self, values: Tensor) -> Measured:
        """E_L of values [m]."""
        return mean(values, self.weights, self.clusters)

    def over_task(self, values: Tensor) -> Measured:
        """E_T of values [m]."""
        return mean(values, self.task_weights, self.clusters)

    @cached_property
    def ratio(self) -> Tensor:
        """p_T(s) / p_L(s), [m]."""
        share, task = self.weights / self.weights.sum(), self.task_weights / self.task_weights.sum()
        return torch.where(share > 0, task / share, 0.0)

    @cached_property
    def gamma(self) -> Measured:
        """Gamma, with its standard error through the share of the contexts that the task has."""
        worst = int(self.ratio.argmax())
        share, task = self.weights[worst], self.task_weights[worst]
        if not float(share):
            raise ValueError("no context of the task is one of the language")
        return self.over_language(self.task_weights / self.weights.clamp(min=1e-300)) * float(share / task)

    def gamma_of(self, errors: Table) -> Measured:
        """gamma_Delta = 1 / lambda_max(Sigma_L^(-1/2) Sigma_T Sigma_L^(-1/2)), Sigma = E[Delta Delta^T].

        It is at least gamma: the errors of the task need not point where the language allows the largest ones. With
        the singular vectors U = sqrt(p_L) Delta V / S of sqrt(p_L) Delta, lambda_max is that of U^T diag(p_T / p_L) U.
        U^T U, 1 up to the rounding of the smallest S, is divided by.

        Args:
            errors: Delta [m, C].

        Returns:
            gamma_Delta; gamma where there is no error at all. Its standard error takes the direction that attains it as
            fixed.
        """
        share = (self.weights / self.weights.sum()).double()
        root = share.sqrt()[:, None]
        _, values, rows = torch.linalg.svd(triangle(lambda some, by: by * some.double(), errors, root))
        kept = values > RANGE * float(values.max()) if float(values.max()) > 0 else values > 0
        if not bool(kept.any()):
            return self.gamma
        scaled = rows[: len(values)][kept].T / values[kept]

        def moments(some: Tensor, by: Tensor, ratio: Tensor) -> Tensor:
            left = by * some.double() @ scaled
            return torch.stack([left.T @ left, left.T @ (ratio[:, None] * left)])

        own, task = total(moments, errors, root, self.ratio)
        lower = torch.linalg.cholesky(own)
        half = torch.linalg.solve_triangular(lower, task, upper=False)
        _, vectors = torch.linalg.eigh(torch.linalg.solve_triangular(lower, half.T, upper=False))
        direction = scaled @ torch.linalg.solve_triangular(lower.T, vectors[:, -1:], upper=True)
        along = each(lambda some, by: (by * some.double() @ direction)[:, 0], errors, root)
        squares = torch.where(share > 0, along.square() / share.clamp(min=1e-300), 0.0)
        return self.over_language(squares) / self.over_task(squares)

    @cached_property
    def epsilon(self) -> Measured:
        """E_L KL(p* || p), nats."""
        return self.over_language(each(kl, self.truth, self.log_p))
