"""Hutch++ (Meyer, Musco, Musco & Woodruff 2021): the trace of the Hessian over a fixed set of contexts.

Of m products with H a third sketches its range, Q = orth(H S), a third takes the trace there exactly, and a third
estimates what is left, P = 1 - Q Q^T, by Hutchinson:

    Tr H = Tr(Q^T H Q) + E (P g)^T H (P g),      of block b:  sum_k (q_k)_b . (H q_k)_b + E (P g)_b . (H P g)_b

S and g are random signs. The standard error is that of the last part over its random vectors, given the contexts: it
knows nothing of how the trace differs between contexts. Memory: m / 3 vectors of as many numbers as the model has.
"""

import torch
from torch import Tensor

from ..errors import InputError
from ..models import MaskedLM
from .contexts import positions_at_a_time
from .curvature import Curvature
from .terms import Given, Method, Terms


def _terms(model: MaskedLM, given: Given) -> Terms:
    matrix = Curvature(model, "hessian", given.batch, given.truth, positions_at_a_time(model))
    third = given.probes // 3
    if third < 2:
        raise InputError(f"{given.probes} probes, expected at least 6 for hutch++, a third for each of its steps")
    basis = sketch(matrix, min(third, len(matrix.space)), given.generator)
    exact = matrix.space.by_block(sum((q * matrix(q) for q in basis.T), torch.zeros_like(basis[:, 0])))
    rows = []
    for _ in range(third):
        g = matrix.space.signs(given.generator)
        g = g - basis @ (basis.T @ g)
        rows.append(matrix.space.by_block(g * matrix(g)))
    sums = {block: exact[block] + torch.stack([row[block] for row in rows]) for block in exact}
    return Terms(sums, torch.ones(third, dtype=torch.float64))


def sketch(matrix: Curvature, vectors: int, generator: torch.Generator) -> Tensor:
    """An orthonormal basis [P, vectors] of H S."""
    columns = [matrix(matrix.space.signs(generator)) for _ in range(vectors)]
    basis: Tensor = torch.linalg.qr(torch.stack(columns, 1))[0]
    return basis


METHOD = Method(_terms)
