"""The independent terms that an estimator returns, and their mean with its standard error."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..estimate import Estimate
from ..generators.sentences import Batch
from ..models import LanguageModel


@dataclass(frozen=True)
class TraceEstimate(Estimate):
    """The total, and `blocks`: its shares by kind of parameter (name -> Estimate), which add up to the total."""

    blocks: dict[str, Estimate]


@dataclass(frozen=True)
class Given:
    """The input of a trace estimator.

    Args:
        batch: the contexts.
        generator: the source of all random choices, on the batch's device.
        truth: p* [m, C]. The loss is the mean of -sum_v p*_v log f_v with it, and of -log f(x_t | x_-t) without it.
    """

    batch: Batch
    generator: torch.Generator
    truth: Tensor | None = None


@dataclass(frozen=True)
class Terms:
    """The terms of c independent clusters.

    Args:
        sums: block -> [c], the sum of the terms in each cluster.
        counts: [c], the number of terms in each cluster.
    """

    sums: dict[str, Tensor]
    counts: Tensor

    @classmethod
    def of_contexts(cls, batch: Batch, values: dict[str, Tensor]) -> "Terms":
        """The terms from one value for each context, block -> [m]. Each sentence is a cluster."""
        rows = batch.rows.cpu()
        zeros = torch.zeros(len(batch.inputs), dtype=torch.float64)
        sums = {block: zeros.index_add(0, rows, term.detach().double().cpu()) for block, term in values.items()}
        return cls(sums, zeros.index_add(0, rows, torch.ones(len(rows), dtype=torch.float64)))

    def gathered(self, cluster: Tensor, clusters: int) -> "Terms":
        """The same terms in fewer clusters. `cluster` [c] holds the new cluster of each old one."""
        zeros = torch.zeros(clusters, dtype=torch.float64)
        sums = {block: zeros.index_add(0, cluster, values) for block, values in self.sums.items()}
        return Terms(sums, zeros.index_add(0, cluster, self.counts))

    @property
    def estimate(self) -> TraceEstimate:
        """The mean over all terms, with the standard error over clusters."""
        total = Estimate.from_ratio(torch.stack(list(self.sums.values())).sum(0), self.counts)
        blocks = {block: Estimate.from_ratio(values, self.counts) for block, values in self.sums.items()}
        return TraceEstimate(total.value, total.stderr, total.n, blocks)


def by_block(model: LanguageModel, values: dict[str, Tensor]) -> dict[str, Tensor]:
    """Sums the values of all parameters of each kind: kind -> value."""
    blocks: dict[str, Tensor] = {}
    for name, value in values.items():
        block = model.parameter_block(name)
        blocks[block] = blocks[block] + value if block in blocks else value
    return blocks
