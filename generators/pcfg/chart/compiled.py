"""The compiled chart passes for the CPU. Eight sentences of any lengths share a pass."""

import torch
from torch import Tensor
from typing_extensions import override

from ...kernels.chart import inside, inside_outside
from ...kernels.chart_plan import Plan
from ...kernels.prefix import prefix_factors
from ...kernels.simd import LANES
from .passes import ChartPasses
from .tensor import InsideTables


class CompiledCharts(ChartPasses):
    """The passes of `kernels`; see `ChartPasses`."""

    together = LANES

    def __init__(self, tables: InsideTables) -> None:
        self.tables = tables

    @override
    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        of = None if lengths is None else lengths.numpy()
        return torch.from_numpy(inside(self._plan(leaf_scores, lengths), leaf_scores.contiguous().numpy(), of))[:, 0]

    @override
    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        of = None if lengths is None else lengths.numpy()
        answers = inside_outside(self._plan(leaf_scores, lengths), leaf_scores.detach().contiguous().numpy(), of)
        log_z, margins, log_scale = map(torch.from_numpy, answers)
        return log_z, margins, log_scale

    @override
    def prefix_scores(self, leaf_scores: Tensor) -> Tensor:
        plan = self.tables.prefix_plan(leaf_scores.shape[1])
        return torch.from_numpy(inside(plan, leaf_scores.contiguous().numpy()))

    @override
    def prefix_factors(self, leaf_scores: Tensor, lengths: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        asked = (part.contiguous().numpy() for part in (leaf_scores, lengths, widths))
        log_z, alpha, beta = map(torch.from_numpy, prefix_factors(self.tables.beginnings_plan(), *asked))
        return log_z, alpha, beta

    @override
    def floats_per_sentence(self, length: int) -> int:
        return 0

    def _plan(self, leaf_scores: Tensor, lengths: Tensor | None) -> Plan:
        if lengths is None:
            return self.tables.sentence_plan(leaf_scores.shape[1])
        return self.tables.beginnings_plan()
