"""Hutch++ (Meyer, Musco, Musco & Woodruff 2021): the trace of the Hessian over a fixed set of contexts.

Of m products with H a third sketches its range, Q = orth(H S), a third takes the trace there exactly, and a third
estimates what is left, P = 1 - Q Q^T, by Hutchinson:

    Tr H = Tr(Q^T H Q) + E (P g)^T H (P g),      of block b:  sum_k (q_k)_b . (H q_k)_b + E (P g)_b . (H P g)_b

S and g are random signs. The variance is that over g, given the contexts, plus that over contexts, of whose trace the same
products show the share of every part of them, given Q and g; what g adds to the latter counts twice, so that the
standard error is a little too large rather than too small. Memory: m vectors of as many numbers as the model has.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...estimate import Estimate
from ...models import MaskedLM
from ..contexts import positions_at_a_time
from ..ghost_norms.tied_head import add
from ..measure import TraceMeasure, at_least, check_targets, flatness_measures
from ..operator import Curvature
from ..trace_terms import Given, Terms, TraceEstimate

PARTS = 50
"""Parts of the contexts between which their share of the standard error is taken, at least, where there are as many."""


@dataclass(frozen=True)
class CrossedTerms(Terms):
    """Terms of parts of the contexts, all with the same random vectors; noise: block -> what each vector gave over all."""

    noise: dict[str, Tensor]
    contexts: int

    @property
    def estimate(self) -> TraceEstimate:
        """n is the number of contexts."""
        parts = super().estimate
        blocks = {block: self._with_noise(parts.blocks[block], values) for block, values in self.noise.items()}
        total = self._with_noise(parts, torch.stack(list(self.noise.values())).sum(0))
        return TraceEstimate(total.value, total.stderr, total.n, blocks)

    def _with_noise(self, part: Estimate, noise: Tensor) -> Estimate:
        return Estimate(part.value, math.hypot(part.stderr, Estimate.from_samples(noise).stderr), self.contexts)


def _terms(model: MaskedLM, given: Given, probes: int) -> Terms:
    n, length = given.batch.inputs.shape
    at_a_time = min(positions_at_a_time(model), -(-n // PARTS) * length)
    matrix = Curvature(model, "hessian", given.batch, given.truth, at_a_time)
    third = probes // 3
    if third < 2:
        raise InputError(f"{probes} probes, expected at least 6 for hutch++, a third for each of its steps")
    basis = sketch(matrix, min(third, len(matrix.space)), given.generator)
    exact = add(*(_shares(matrix, q) for q in basis.T))
    drawn = []
    for _ in range(third):
        g = matrix.space.signs(given.generator)
        drawn.append(_shares(matrix, g - basis @ (basis.T @ g)))
    left = add(*drawn)
    counts = torch.tensor([len(part.rows) for part, _ in matrix.parts], dtype=torch.float64)
    noise = {block: torch.stack([one[block].sum() for one in drawn]) / matrix.count for block in exact}
    return CrossedTerms(
        {block: exact[block] + left[block] / third for block in exact}, counts, noise, len(given.batch.rows)
    )


def _shares(matrix: Curvature, vector: Tensor) -> dict[str, Tensor]:
    """v_b . (A v)_b of each part of the contexts: block -> [parts]."""
    rows = [matrix.space.by_block(vector * found) for _, found in matrix.products(vector)]
    return {block: torch.stack([row[block] for row in rows]) for block in rows[0]}


def sketch(matrix: Curvature, vectors: int, generator: torch.Generator) -> Tensor:
    """An orthonormal basis [P, vectors] of H S."""
    columns = [matrix(matrix.space.signs(generator)) for _ in range(vectors)]
    basis: Tensor = torch.linalg.qr(torch.stack(columns, 1))[0]
    return basis


@flatness_measures.register("hutch++")
@dataclass(frozen=True)
class HutchPlusPlus(TraceMeasure):
    """The trace of the Hessian by Hutch++ (Meyer, Musco, Musco and Woodruff 2021).

    Args:
        probes: products with the matrix over all contexts, in all; a third for each of the three steps.
        targets: sampled words, or exact: their true probabilities, without label noise.
    """

    probes: int = 100
    targets: str = "sampled"

    def __post_init__(self) -> None:
        at_least("probes", self.probes, 2)
        check_targets(self.targets)
        if self.probes < 6:
            raise InputError(f"probes is {self.probes}, expected at least 6 for hutch++; give a larger number")

    def terms(self, model: MaskedLM, given: Given) -> Terms:
        """Terms of the parts of the contexts, all with the same random vectors."""
        return _terms(model, given, self.probes)
