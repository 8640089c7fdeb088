"""The largest eigenvalues of the Hessian, or of the Gauss-Newton matrix, by Lanczos with full reorthogonalisation.

    A V_j = V_j T_j + beta_j v_(j+1) e_j^T,     T_j y = theta y,     | theta - eigenvalue of A | <= beta_j |y_j|

(Lanczos 1950; Parlett 1998, 13.2.) The bound holds for the distance to the nearest eigenvalue. The k-th largest theta
is never above the k-th largest eigenvalue (Cauchy). A value is left out if its bound exceeds CONVERGED times the
largest value, and so are all values below it.

Each new vector is orthogonalised twice against all earlier ones, in float64. Otherwise rounding would make the method
find eigenvalues repeatedly. A multiple eigenvalue is found once. Memory: `iterations` float64 vectors as long as the
number of parameters.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...generators import Language, Sentences
from ...generators.named import takes_names
from ...models import LanguageModel
from ..contexts import positions_at_a_time
from ..measure import (
    FlatnessMeasure,
    Measurement,
    Problem,
    at_least,
    check_targets,
    flatness_measures,
    in_blocks,
)
from ..operator import Curvature, Kind
from ..trace_terms import Terms, TraceEstimate

TOLERANCE = 1e-4
"""The iteration ends when the bounds of all wanted eigenvalues are at most this share of the largest of them."""

CONVERGED = 1e-2
"""The largest bound of an eigenvalue that is returned, as a share of the largest eigenvalue found."""

PARTS = 20
"""About the number of parts of the contexts for the standard error."""


@dataclass(frozen=True)
class Eigenvalue(TraceEstimate):
    """An eigenvalue of the matrix over the given contexts.

    An exact eigenvalue lies within `bound` of it. `stderr` is the standard error of u^T A u over contexts, to first
    order, with the eigenvector u held fixed. `blocks` holds u_b . (A u)_b.
    """

    bound: float


@takes_names
def top_eigenvalues(
    model: LanguageModel,
    sentences: Sentences,
    count: int = 5,
    matrix: Kind = "hessian",
    seed: int = 0,
    masking: str = "one",
    *,
    iterations: int = 60,
    targets: str = "sampled",
    language: Language | None = None,
) -> list[Eigenvalue]:
    """The algebraically largest eigenvalues of the Hessian or the Gauss-Newton matrix.

    Args:
        model: the model.
        sentences: the sentences whose contexts define the matrix.
        count: number of eigenvalues.
        matrix: "hessian" or "gauss-newton".
        seed: the seed of hidden positions and of the first vector.
        masking: "one", "bernoulli:p" or "next".
        iterations: the most products with the matrix.
        targets: "sampled" or "exact".
        language: the language of the sentences, needed for the truth.

    Returns:
        The eigenvalues in descending order, without those that have not converged.

    Warns:
        UserWarning: if some eigenvalues have not converged.

    Raises:
        InputError: as `hessian_trace` does, for fewer iterations than eigenvalues, and if not even the largest
            eigenvalue has converged.
    """
    check_targets(targets)
    if iterations < count:
        raise InputError(
            f"lanczos: {iterations} iterations for {count} eigenvalues, expected at least as many; give more"
        )
    given = Problem(sentences, masking, seed, language).given(model, "lanczos" if targets == "exact" else None)
    batch, truth, at_a_time = given.batch, given.truth, positions_at_a_time(model)
    operator = Curvature(model, matrix, batch, truth, at_a_time)
    values, vectors, bounds = _converged(*lanczos(operator, count, iterations, given.generator), iterations)
    # Small enough parts, so that there are enough of them for a standard error.
    parts = Curvature(model, matrix, batch, truth, min(at_a_time, batch.inputs.numel() // PARTS or 1))
    shares = parts.shares(vectors.T.to(parts.space.dtype))
    found = []
    for i, (value, bound) in enumerate(zip(values.tolist(), bounds.tolist(), strict=True)):
        estimate = Terms({block: of_parts[i] for block, of_parts in shares.items()}, parts.counts).estimate
        found.append(Eigenvalue(value, estimate.stderr, estimate.n, estimate.blocks, bound))
    return found


def _converged(values: Tensor, vectors: Tensor, bounds: Tensor, iterations: int) -> tuple[Tensor, Tensor, Tensor]:
    """The leading eigenvalues that have converged. Warns about the others; see `top_eigenvalues`."""
    converged = int((bounds <= CONVERGED * values.abs().max()).long().cumprod(0).sum())
    if converged < len(values):
        missing = f"{converged} of the {len(values)} largest eigenvalues converged in {iterations} iterations"
        if not converged:
            raise InputError(f"lanczos: {missing}, expected at least one; give more iterations")
        warnings.warn(f"lanczos: {missing}, the others are left out; more iterations would find them", stacklevel=3)
    return values[:converged], vectors[:, :converged], bounds[:converged]


def lanczos(
    operator: Curvature, count: int, iterations: int, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(eigenvalues [k], eigenvectors [P, k], bounds [k]) with k <= count, float64, the largest first."""
    space = operator.space
    size = len(space)
    basis = torch.zeros(min(iterations, size), size, dtype=torch.float64, device=space.device)
    start = space.normal(generator).double()
    basis[0] = start / start.norm()
    diagonal: list[float] = []
    beside: list[float] = []
    for j in range(len(basis)):
        image = operator(basis[j].to(space.dtype)).double()
        diagonal.append(float(image @ basis[j]))
        for _ in range(2):
            image -= basis[: j + 1].T @ (basis[: j + 1] @ image)
        beside.append(float(image.norm()))
        values, inner = _tridiagonal(diagonal, beside[:-1])
        bounds = beside[-1] * inner[-1].abs()
        largest = float(values.abs().max())
        wanted = float(values[-count:].abs().max())
        done = j + 1 >= count and bool((bounds[-count:] <= TOLERANCE * wanted).all())
        if done or j + 1 == len(basis) or beside[-1] <= 1e-12 * largest:
            break
        basis[j + 1] = image / beside[-1]
    best = torch.arange(len(values) - 1, max(-1, len(values) - 1 - count), -1)
    vectors = basis[: len(values)].T @ inner[:, best].to(basis.device)
    return values[best], vectors, bounds[best]


def _tridiagonal(diagonal: list[float], beside: list[float]) -> tuple[Tensor, Tensor]:
    """The eigenvalues, ascending, and eigenvectors of a symmetric tridiagonal matrix."""
    off = torch.tensor(beside, dtype=torch.float64)
    matrix = torch.diag(torch.tensor(diagonal, dtype=torch.float64)) + torch.diag(off, 1) + torch.diag(off, -1)
    values, vectors = torch.linalg.eigh(matrix)
    return values, vectors


class _Lanczos(FlatnessMeasure):
    """The largest eigenvalues of a matrix, each with its shares by kind of parameter: block 1, 1/embedding, ..."""

    what = "eigenvalue"
    matrix: ClassVar[Kind]
    eigenvalues: int
    iterations: int

    def __post_init__(self) -> None:
        at_least("eigenvalues", self.eigenvalues, 1)
        at_least("iterations", self.iterations, 1)

    @override
    def measure(self, model: LanguageModel, problem: Problem) -> Iterator[Measurement]:
        """The eigenvalues, the largest first. Rows also hold the rank and the error bound."""
        found = top_eigenvalues(
            model,
            problem.sentences,
            self.eigenvalues,
            self.matrix,
            problem.seed,
            problem.masking,
            iterations=self.iterations,
            targets=getattr(self, "targets", "sampled"),
            language=problem.language,
        )
        for rank, value in enumerate(found, 1):
            yield from in_blocks(value, str(rank), {"rank": rank, "bound": value.bound})


@flatness_measures.register("lanczos")
@dataclass(frozen=True)
class Lanczos(_Lanczos):
    """The largest eigenvalues of the Hessian.

    Args:
        eigenvalues: how many.
        iterations: at most.
        targets: sampled words, or exact: their true probabilities, without label noise.
    """

    eigenvalues: int = 5
    iterations: int = 60
    targets: str = "sampled"

    matrix = "hessian"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_targets(self.targets)


@flatness_measures.register("lanczos-gauss-newton")
@dataclass(frozen=True)
class LanczosGaussNewton(_Lanczos):
    """The largest eigenvalues of the Gauss-Newton matrix.

    Args:
        eigenvalues: how many.
        iterations: at most.
    """

    eigenvalues: int = 5
    iterations: int = 60

    matrix = "gauss-newton"
