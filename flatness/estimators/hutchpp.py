"""Hutch++ (Meyer, Musco, Musco & Woodruff 2021): the trace of the Hessian over a fixed set of contexts.

The method spends m products with H in three equal steps. The first sketches the range of H, Q = orth(H S). The second
takes the trace on that range exactly. The third estimates the rest, with P = 1 - Q Q^T, by Hutchinson's method:

    Tr H = Tr(Q^T H Q) + E (P g)^T H (P g),      of block b:  sum_k (q_k)_b . (H q_k)_b + E (P g)_b . (H P g)_b

S and g are random signs. The variance is the sum of the variance over g, given the contexts, and the variance over
contexts. The second is estimated from the trace of each part of the contexts, given Q and g, by the same products. The
effect of g on these traces counts twice, so the standard error is slightly too large rather than too small.

Memory: m vectors as long as the number of parameters. One pass over contexts multiplies several vectors.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...estimate import Estimate
from ...models import LanguageModel
from ..contexts import positions_at_a_time
from ..measure import TraceMeasure, check_targets, flatness_measures
from ..operator import Curvature
from ..trace_terms import Given, Terms, TraceEstimate

PARTS = 50
"""About the number of parts of the contexts for the variance over contexts; fewer if there are fewer sentences."""


@dataclass(frozen=True)
class CrossedTerms(Terms):
    """Terms of parts of the contexts, all with the same random vectors.

    Args:
        sums: block -> [c], the sum of the terms in each part.
        counts: [c], the number of contexts in each part.
        noise: block -> [k], the estimate from each random vector over all contexts.
        contexts: the number of contexts.
    """

    noise: dict[str, Tensor]
    contexts: int

    @property
    def estimate(self) -> TraceEstimate:
        """The mean, with a standard error over contexts and vectors; n is the number of contexts."""
        parts = super().estimate
        blocks = {block: self._with_noise(parts.blocks[block], values) for block, values in self.noise.items()}
        total = self._with_noise(parts, torch.stack(list(self.noise.values())).sum(0))
        return TraceEstimate(total.value, total.stderr, total.n, blocks)

    def _with_noise(self, part: Estimate, noise: Tensor) -> Estimate:
        return Estimate(part.value, math.hypot(part.stderr, Estimate.from_samples(noise).stderr), self.contexts)


def _terms(model: LanguageModel, given: Given, probes: int) -> Terms:
    n, length = given.batch.inputs.shape
    third = probes // 3
    if third < 2:
        raise InputError(f"{probes} probes, expected at least 6 for hutch++, a third for each of its steps")
    at_a_time = positions_at_a_time(model)
    parts = Curvature(model, "hessian", given.batch, given.truth, min(at_a_time, -(-n // PARTS) * length))
    space = parts.space
    # The sketch needs no parts, so a pass reads as many contexts as the memory allows.
    whole = Curvature(model, "hessian", given.batch, given.truth, max(1, at_a_time // min(third, space.together)))
    basis = sketch(whole, min(third, len(space)), given.generator)
    exact = parts.shares(basis.T)
    signs = torch.stack([space.signs(given.generator) for _ in range(third)])
    left = parts.shares(signs - (signs @ basis) @ basis.T)
    return CrossedTerms(
        {block: exact[block].sum(0) + left[block].sum(0) / third for block in exact},
        parts.counts,
        {block: shares.sum(1) / parts.count for block, shares in left.items()},
        len(given.batch.rows),
    )


def sketch(matrix: Curvature, vectors: int, generator: torch.Generator) -> Tensor:
    """An orthonormal basis [P, vectors] of the range of H S."""
    signs = torch.stack([matrix.space.signs(generator) for _ in range(vectors)])
    rows = torch.cat([matrix(some) for some in torch.split(signs, matrix.space.together)])
    basis: Tensor = torch.linalg.qr(rows.T)[0]
    return basis


@flatness_measures.register("hutch++")
@dataclass(frozen=True)
class HutchPlusPlus(TraceMeasure):
    """The trace of the Hessian by Hutch++ (Meyer, Musco, Musco and Woodruff 2021).

    Args:
        probes: products with the matrix over all contexts; each of the three steps has a third of them.
        targets: sampled words, or exact: their true probabilities, without label noise.
    """

    probes: int = 100
    targets: str = "sampled"

    def __post_init__(self) -> None:
        check_targets(self.targets)
        if self.probes < 6:
            raise InputError(f"probes is {self.probes}, expected at least 6 for hutch++; give a larger number")

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """Terms of the parts of the contexts, all with the same random vectors."""
        return _terms(model, given, self.probes)
