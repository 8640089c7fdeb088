"""Spans: a prefix of the sentence and the symbols among which a task of a grammar chooses."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..kernels.binary_rules import Rules


@dataclass(frozen=True)
class Span:
    """A prefix of the sentence and the symbols to choose from.

    Args:
        words: the length of the prefix; None for the whole sentence. For a shorter sentence, the prefix is the whole
            sentence.
        symbols: the names of the symbols, which are classes of a task.
    """

    words: int | None
    symbols: tuple[str, ...]

    def width(self, lengths: Tensor) -> Tensor:
        """The width of the prefix in sentences of these lengths, [n]."""
        return lengths if self.words is None else lengths.clamp(max=self.words)


def published_spans(rules: Rules, feasible: Tensor, length_log_prob: Tensor) -> dict[str, Span]:
    """The spans of tasks A, B and C (Liu et al. 2022, A.1): the whole sentence, its first 4 words, its first 2.

    Task A chooses among the children of the start symbol's unary rules; B and C among all symbols that can span their
    prefix.

    Args:
        rules: the grammar.
        feasible: which symbols can yield w words, [max_length + 1, symbols] bool.
        length_log_prob: log p(T), [max_length + 1].

    Returns:
        The spans by name, without spans that have no symbols or more words than any sentence.
    """
    top = tuple(rules.symbols[child] for parent, child, _ in rules.unary if parent == 0 and child != 0)
    spans = {"A": Span(None, tuple(dict.fromkeys(top)))}
    possible = length_log_prob > -torch.inf
    for name, words in (("B", 4), ("C", 2)):
        if len(length_log_prob) <= words:
            continue
        widths = {min(words, length) for length in possible.nonzero()[:, 0].tolist()}
        able = feasible[sorted(widths)].any(0)
        spans[name] = Span(words, tuple(rules.symbols[i] for i in range(1, rules.num_original) if able[i]))
    return {name: span for name, span in spans.items() if span.symbols}
