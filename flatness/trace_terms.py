"""What estimators hand over: independent terms, of which the mean and its standard error are taken in one way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..estimate import Estimate
from ..generators.batches import Batch
from ..models import MaskedLM


@dataclass(frozen=True)
class TraceEstimate(Estimate):
    """The total, and the share of each kind of parameter in blocks: name -> Estimate; these add up to the total."""

    blocks: dict[str, Estimate]


@dataclass(frozen=True)
class Given:
    """What a trace is estimated from: contexts, their truth [m, C] where it is known, and how much work is done.

    Args:
        batch: the contexts.
        generator: where all random choices come from, on the batch's device.
        draws: words, or combinations of them, a context.
        probes: random vectors, each on a share of the contexts of its own (Hutch++: matrix products in all).
        truth: p*; the loss is then the mean of -sum_v p*_v log f_v, without it that of -log f(x_t).
    """

    batch: Batch
    generator: torch.Generator
    draws: int = 1
    probes: int = 100
    truth: Tensor | None = None


@dataclass(frozen=True)
class Terms:
    """sums: block -> [c], the sums of the terms in each of c independent clusters; counts [c]: how many these are."""

    sums: dict[str, Tensor]
    counts: Tensor

    @classmethod
    def of_contexts(cls, batch: Batch, values: dict[str, Tensor]) -> "Terms":
        """One term [m] a context; a sentence is a cluster."""
        rows = batch.rows.cpu()
        zeros = torch.zeros(len(batch.inputs), dtype=torch.float64)
        sums = {block: zeros.index_add(0, rows, term.detach().double().cpu()) for block, term in values.items()}
        return cls(sums, zeros.index_add(0, rows, torch.ones(len(rows), dtype=torch.float64)))

    def gathered(self, cluster: Tensor, clusters: int) -> "Terms":
        """Clusters [c] numbered anew, several becoming one."""
        zeros = torch.zeros(clusters, dtype=torch.float64)
        sums = {block: zeros.index_add(0, cluster, values) for block, values in self.sums.items()}
        return Terms(sums, zeros.index_add(0, cluster, self.counts))

    @property
    def estimate(self) -> TraceEstimate:
        total = Estimate.from_ratio(torch.stack(list(self.sums.values())).sum(0), self.counts)
        blocks = {block: Estimate.from_ratio(values, self.counts) for block, values in self.sums.items()}
        return TraceEstimate(total.value, total.stderr, total.n, blocks)


class Method(NamedTuple):
    """terms: gives a model's terms; truth: whether it needs to know p*; what: the quantity, as results name it."""

    terms: Callable[[MaskedLM, Given], Terms]
    truth: bool = False
    what: str = "hessian_trace"


def by_block(model: MaskedLM, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Values by parameter -> their sums by kind of parameter."""
    blocks: dict[str, Tensor] = {}
    for name, value in values.items():
        block = model.parameter_block(name)
        blocks[block] = blocks[block] + value if block in blocks else value
    return blocks
