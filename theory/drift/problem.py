"""A language-modelling problem on finitely many contexts, and the manifold of its minimisers.

With weights w_c of the contexts, the truth p* [C, V] and the model's f(theta) [C, V], the population loss exceeds its
least value by KL(theta) = sum_c w_c KL(p*_c || f_c). All that follows comes from one function, the residual

    r_cv(theta) = (w_c p*_cv)^(1/2) (log f_cv - log p*_cv),      A = dr / d theta  [C V, P]

The minimisers are Gamma = {r = 0}. There the Hessian is H = A^T A (Bartlett's identity), so that ker H = ker A and
Tr(H) = ||A||^2.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError

Logits = Callable[[Tensor], Tensor]
"""From parameters [R, P] of R replicas to logits [R, C, V]."""

RANK = 1e-8
"""Singular values of A below this share of the largest are taken for zero."""

REACHED = 1e-11
"""The largest entry of the residual of a point that counts as a minimiser, in float64."""

MOST_ITERATIONS = 50


@dataclass(frozen=True)
class FiniteProblem:
    """Finitely many contexts, their truth, and a model whose replicas are computed side by side.

    Args:
        logits: from parameters [R, P] to logits [R, C, V], each replica by itself.
        truth: p* [C, V] float64, positive.
        weights: the probability of each context, [C] float64.
    """

    logits: Logits
    truth: Tensor
    weights: Tensor

    def __post_init__(self) -> None:
        if not bool((self.truth > 0).all()):
            where = (self.truth <= 0).nonzero()[0].tolist()
            raise InputError(
                f"truth of context {where[0]}, word {where[1]} is {float(self.truth[tuple(where)]):g}, expected "
                "positive probabilities, since no softmax reaches zero; take a language without impossible words"
            )

    @property
    def joint(self) -> Tensor:
        """w_c p*_cv, the probability of context and word, [C, V]."""
        return self.weights[:, None] * self.truth

    def kl(self, theta: Tensor) -> Tensor:
        """KL(p* || f) of each replica, nats: [R, P] -> [R]."""
        log_f = self.logits(theta).log_softmax(-1)
        return (self.joint * (self.truth.log() - log_f)).sum((-2, -1))

    def residual(self, theta: Tensor) -> Tensor:
        """r [C V] at one point [P]."""
        log_f = self.logits(theta[None])[0].log_softmax(-1)
        return (self.joint.sqrt() * (log_f - self.truth.log())).flatten()

    def jacobian(self, theta: Tensor) -> Tensor:
        """A [C V, P] at one point [P]."""
        found: Tensor = torch.func.jacrev(self.residual)(theta)
        return found

    def trace(self, theta: Tensor) -> Tensor:
        """Tr(H) of each replica, with the truth's covariance also where f is not p*.

        sum_c w_c sum_v p*_v ||dz_v - sum_u p*_u dz_u||^2, where z are the logits: Tr(H) on Gamma, and smooth off it.

        Args:
            theta: [R, P].

        Returns:
            [R], nats.
        """
        found: Tensor = torch.func.vmap(self._trace)(theta)
        return found

    def trace_along(self, theta: Tensor) -> Tensor:
        """The gradient of `trace` at one point [P], without its part across Gamma.

        The part is taken out that lies in the range of A^T, with the truth's covariance in A: on Gamma that is the
        range of H, and near it the field remains smooth.

        Args:
            theta: the point, [P].

        Returns:
            The gradient, [P].
        """
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            jacobian = torch.func.jacrev(self._centred)(theta).flatten(0, 1)
            (gradient,) = torch.autograd.grad(jacobian.square().sum(), theta)
        _, _, rows = _range(jacobian.detach())
        return gradient - rows.T @ (rows @ gradient)

    def _centred(self, theta: Tensor) -> Tensor:
        """(w p*)^(1/2) (z - sum_u p*_u z_u) at one point, [C, V]."""
        z = self.logits(theta[None])[0]
        return self.joint.sqrt() * (z - (self.truth * z).sum(-1, keepdim=True))

    def _trace(self, theta: Tensor) -> Tensor:
        squares: Tensor = torch.func.jacrev(self._centred)(theta).square().sum()
        return squares

    def hessian(self, theta: Tensor) -> Tensor:
        """The Hessian [P, P] of the population loss at one point, by differentiating twice."""
        found: Tensor = torch.func.hessian(lambda one: self.kl(one[None])[0])(theta)
        return found

    def retract(self, theta: Tensor) -> Tensor:
        """The minimiser that Gauss-Newton steps of least norm reach from a point [P].

        Args:
            theta: the point.

        Returns:
            A point of Gamma: every |log f - log p*| (w p*)^(1/2) is at most 1e-11.

        Raises:
            InputError: where 50 steps do not reach one.
        """
        for _ in range(MOST_ITERATIONS):
            residual = self.residual(theta)
            if float(residual.abs().max()) < REACHED:
                return theta
            left, values, rows = _range(self.jacobian(theta))
            theta = theta - rows.T @ ((left.T @ residual) / values)
            if not bool(theta.isfinite().all()):
                break
        raise InputError(
            f"{MOST_ITERATIONS} Gauss-Newton steps do not reach f = p*: the residual is "
            f"{float(residual.abs().max()):.2g}, expected {REACHED:g}; start nearer to a minimum, or take a model that "
            "can represent the truth"
        )


def _range(jacobian: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The singular value decomposition of A without its zeros: left [C V, M], values [M], rows [M, P]."""
    left, values, rows = torch.linalg.svd(jacobian, full_matrices=False)
    kept = values > RANK * values[0]
    return left[:, kept], values[kept], rows[kept]
