"""The passes over a grammar's charts: what every implementation of them does."""

from typing import Protocol

from torch import Tensor


class ChartPasses(Protocol):
    """Passes over leaf_scores [n, T, leaf symbols].

    Without lengths [n], all sentences have T words. With them, the scores beyond the end of a sentence are 0. Where
    `together` is 1, `log_partition` and `leaf_margins` take sentences of one length only.

    Args:
        together: how many sentences, of any lengths, cost about as much as one.
    """

    together: int

    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log Z [n], with Z the inside score of the start symbol over all words; -inf where there is no tree."""

    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """log Z [n], m [n, T, leaf symbols] and s [n, T] with dZ / d leaf_scores = m exp(s)."""

    def prefix_scores(self, leaf_scores: Tensor) -> Tensor:
        """log P(A =>* all words) [n, symbols]; -inf where A cannot yield them."""

    def prefix_factors(self, leaf_scores: Tensor, lengths: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The factors of p(A spans the first w words | the words), alpha * beta, each in a scale of its own.

        Sentences sorted by length are fastest.

        Args:
            leaf_scores: [n, T, leaf symbols].
            lengths: [n].
            widths: the w of q prefixes of each sentence, [n, q].

        Returns:
            log Z [n], alpha [n, q, symbols] and beta [n, q, symbols].
        """

    def floats_per_sentence(self, length: int) -> int:
        """About how many float64 numbers the charts of a sentence of this length hold beyond the results."""
