"""What estimators hand over: independent terms, of which the mean and its standard error are taken in one way."""

from dataclasses import dataclass

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
    """What a trace is estimated from.

    Args:
        batch: the contexts.
        generator: where all random choices come from, on the batch's device.
        truth: p* [m, C]; the loss is then the mean of -sum_v p*_v log f_v, without it that of -log f(x_t).
    """

    batch: Batch
    generator: torch.Generator
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


def by_block(model: MaskedLM, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Values by parameter -> their sums by kind of parameter."""
    blocks: dict[str, Tensor] = {}
    for name, value in values.items():
        block = model.parameter_block(name)
        blocks[block] = blocks[block] + value if block in blocks else value
    return blocks
