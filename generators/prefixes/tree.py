"""The root of a grammar's tree, or the symbol over its first words, given the words read so far.

For every length T that the sentence may have, one chart with the words after the prefix hidden gives both the mass of
the prefix with T words and the law of the symbol (`PCFG.prefix_posteriors`); the lengths are then summed over:

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
    """The topmost of some symbols over the first words of the sentence, or over all; NONE where none spans them."""

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
                # Sentences that begin alike share their charts.
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
        """(log P(x_1 .. x_t, T) [n] up to the grammar's mass at T, the law of the class given both [n, classes])."""
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
        symbols: the nonterminals to choose from, separated by blanks; unless given, there is a task for each of the
            language's spans, under the span's name after "symbol-".
        words: how many words the span has; all unless given.
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
            raise InputError("symbols is empty, expected nonterminals separated by blanks; name some")
        yield SymbolOver(self.name, language, Span(self.words, symbols))
