"""Prefix tasks of a grammar: the root of the tree, or the symbol over its first words, given the words read so far.

For every possible length T of the sentence, one chart, in which the words after the prefix are hidden, gives both the
probability of the prefix and T, and the distribution of the symbol (as in `PCFG.prefix_posteriors`). Then the lengths
are summed out:

    P(A over w words | x_1 .. x_t) = sum_T P(x_1 .. x_t, T) P(A over w words | x_1 .. x_t, T) / sum_T P(x_1 .. x_t, T)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, at_least
from ..pcfg.chart.prefix import walks_to
from ..pcfg.language import PCFG
from ..pcfg.span import Span
from ..pcfg.tasks import NONE
from .task import PrefixTask, PrefixTaskKind, prefix_tasks


class SymbolOver(PrefixTask):
    """The topmost of some symbols that spans the first words of the sentence, or all words; NONE if no symbol does."""

    def __init__(self, name: str, language: PCFG, span: Span) -> None:
        self.name, self.language, self.span = name, language, span
        self.classes = (*span.symbols, NONE)
        self.symbols = language.symbol_ids(span.symbols)
        self.walks = walks_to(language.tables, self.symbols)

    @override
    def posteriors(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths = self.language.checked_beginnings(tokens, lengths)
        n, longest = tokens.shape
        out = torch.zeros(n, longest + 1, len(self.classes), dtype=torch.float64, device=self.language.device)
        for read in range(longest + 1):
            rows = (lengths >= read).nonzero()[:, 0]
            if len(rows) and read == 0:
                out[rows, 0] = self._after(tokens[:1, :0])[0]
            elif len(rows):
                # Sentences with the same first words share one chart.
                first, which = tokens[rows, :read].unique(dim=0, return_inverse=True)
                out[rows, read] = self._after(first)[which]
        return out

    def _after(self, words: Tensor) -> Tensor:
        """P(class | the words) [n, classes] of prefixes [n, t]."""
        language = self.language
        joint = torch.full((len(words), len(self.classes)), 0.0, dtype=torch.float64, device=words.device)
        scale = torch.full((len(words),), -torch.inf, dtype=torch.float64, device=words.device)
        for length in range(max(1, words.shape[1]), language.max_length + 1):
            if float(language.length_log_prob[length]) == -torch.inf:
                continue
            log_mass, law = self._of_length(words, length)
            log_mass = log_mass + language.length_log_prob[length] - language.log_mass[length]
            top = torch.maximum(scale, log_mass)
            kept = torch.where(top > -torch.inf, top, 0.0)
            joint = joint * (scale - kept).exp()[:, None] + law * (log_mass - kept).exp()[:, None]
            scale = top
        impossible = scale == -torch.inf
        if bool(impossible.any()):
            row = int(impossible.nonzero()[0])
            raise InputError(f"prefix {row}: no sentence of the language begins with these words; correct them")
        return joint / joint.sum(1, keepdim=True)

    def _of_length(self, words: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """(log P(x_1 .. x_t, T) [n] before normalising by the mass at T, P(class | x_1 .. x_t, T) [n, classes])."""
        language = self.language
        hidden = (torch.arange(length, device=words.device) >= words.shape[1]).expand(len(words), -1)
        tokens = torch.nn.functional.pad(words, (0, length - words.shape[1]))
        log_z = torch.full((len(words),), -torch.inf, dtype=torch.float64, device=words.device)
        law = torch.zeros(len(words), len(self.classes), dtype=torch.float64, device=words.device)
        for rows in torch.arange(len(words), device=words.device).split(language.chunk_size(length)):
            lengths = torch.full((len(rows),), length, device=words.device)
            scores = language.leaf_scores(tokens[rows], hidden[rows])
            width = self.span.width(lengths)[:, None]
            log_z[rows], alpha, beta = language.charts.prefix_factors(scores, lengths, width)
            over = (alpha[:, 0] @ self.walks) * beta[:, 0][:, self.symbols]
            law[rows] = torch.cat([over, (1 - over.sum(1, keepdim=True)).clamp(min=0)], 1)
        return log_z, law


@prefix_tasks.register("symbol")
@dataclass(frozen=True)
class SymbolsOver(PrefixTaskKind[PCFG]):
    """The symbol over the whole sentence, or over its first words, in the tree of a grammar.

    Args:
        symbols: the nonterminals to choose from, separated by spaces; unless given, each span of the language has its
            own task, named "symbol-" and the span's name.
        words: the number of words in the span; all words of the sentence unless given.
    """

    symbols: str | None = None
    words: int | None = None

    needs = PCFG

    def __post_init__(self) -> None:
        if self.words is not None:
            at_least("words", self.words, 1)
            if self.symbols is None:
                raise InputError(f"words is {self.words} without symbols, expected both; add symbols, such as 'NP VP'")

    @override
    def tasks(self, language: PCFG) -> Iterator[PrefixTask]:
        if self.symbols is None:
            for name, span in language.spans.items():
                yield SymbolOver(f"symbol-{name}", language, span)
            return
        symbols = tuple(dict.fromkeys(self.symbols.split()))
        if not symbols:
            raise InputError("symbols is empty, expected nonterminals separated by spaces; name some")
        yield SymbolOver(self.name, language, Span(self.words, symbols))
