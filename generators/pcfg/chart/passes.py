"""The interface of the passes over a grammar's charts."""

from typing import Protocol

from torch import Tensor


class ChartPasses(Protocol):
    """Passes over leaf_scores [n, T, leaf symbols].

    Without lengths [n], all sentences have T words. With lengths, the scores beyond the end of a sentence are 0. If
    `together` is 1, `log_partition` and `leaf_margins` take only sentences of one length.

    Args:
        together: the number of sentences, of any lengths, that cost about as much as one.
    """

    together: int

    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log Z [n], with Z the inside score of the start symbol over all words; -inf if there is no tree."""

    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """log Z [n], m [n, T, leaf symbols] and s [n, T] with dZ / d leaf_scores = m exp(s)."""

    def prefix_scores(self, leaf_scores: Tensor) -> Tensor:
        """log P(A =>* all words) [n, symbols]; -inf if A cannot yield them."""

    def prefix_factors(self, leaf_scores: Tensor, lengths: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The factors of p(A spans the first w words | the words) = alpha * beta. Each factor alone has its own scale.

        This is fastest if sentences are sorted by length.

        Args:
            leaf_scores: [n, T, leaf symbols].
            lengths: [n].
            widths: the w of q prefixes of each sentence, [n, q].

        Returns:
            log Z [n], alpha [n, q, symbols] and beta [n, q, symbols].
        """

    def floats_per_sentence(self, length: int) -> int:
        """The approximate number of float64 values that the charts of one sentence hold in addition to the results."""
