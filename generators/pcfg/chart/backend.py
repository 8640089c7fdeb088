"""The passes over a grammar's charts, as everything else asks for them: one protocol, one choice for each device."""

from typing import Protocol

from torch import Tensor

from .compiled import CompiledCharts
from .tensor import InsideTables, TensorCharts


class ChartBackend(Protocol):
    """Passes over leaf_scores [n, T, leaf symbols].

    together: how many sentences of different lengths, in `lengths` [n], cost about what one does. Where lengths are
    given, the scores beyond a sentence's end are 0; without them all sentences have T words. Where together is 1,
    `log_partition` and `leaf_margins` take sentences of one length alone.
    """

    together: int

    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log Z [n], Z the inside score of the start symbol over all words; -inf where there is no tree."""

    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(log Z [n], m [n, T, leaf symbols], s [n, T]) with dZ / d leaf_scores = m exp(s)."""

    def prefix_scores(self, leaf_scores: Tensor) -> Tensor:
        """log P(A =>* all words) [n, symbols]; -inf where A cannot yield them."""

    def prefix_factors(self, leaf_scores: Tensor, lengths: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(log Z [n], alpha [n, q, symbols], beta [n, q, symbols]) of the first widths [n, q] words of each sentence.

        alpha * beta is p(A spans these words | the words), each factor in a scale of its own. Sentences in the order
        of their lengths are fastest.
        """

    def floats_per_sentence(self, length: int) -> int:
        """About how many float64 numbers the charts of one sentence of this length hold beyond what is asked for."""


def chart_backend(tables: InsideTables) -> ChartBackend:
    """The compiled passes where the tables are on a CPU, those over tensors on other devices."""
    return (CompiledCharts if tables.closure.device.type == "cpu" else TensorCharts)(tables)
