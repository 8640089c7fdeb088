"""Downstream tasks of a grammar: the symbol over a prefix, as published or in the sampled tree; Bayes accuracies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from typing_extensions import override

from ...estimate import Estimate
from ..kernels.binary_rules import Rules
from ..sentences import Sentences
from ..tasks import Task, latent

NONE = "none"
"""The class of a sentence that has no such constituent."""


@dataclass(frozen=True)
class Span:
    """A prefix of the sentence and the symbols to choose from.

    Args:
        words: the length of the prefix; None for the whole sentence. A shorter sentence is taken whole.
        symbols: the names of the symbols, which are the classes of a task.
    """

    words: int | None
    symbols: tuple[str, ...]

    def width(self, lengths: Tensor) -> Tensor:
        """The width of the prefix in sentences of these lengths, [n]."""
        return lengths if self.words is None else lengths.clamp(max=self.words)


def published_spans(rules: Rules, feasible: Tensor, length_log_prob: Tensor) -> dict[str, Span]:
    """The spans of tasks A, B and C (Liu et al. 2022, A.1): the whole sentence, its first 4 words, its first 2.

    A chooses among the symbols that the start symbol rewrites to alone, B and C among all that can span their prefix.

    Args:
        rules: the grammar.
        feasible: which symbols can yield w words, [max_length + 1, symbols] bool.
        length_log_prob: log p(T), [max_length + 1].

    Returns:
        The spans by name; without those that have no symbols, or more words than any sentence.
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


class Grammatical(Protocol):
    """What these tasks need of a grammar; `PCFG` provides it."""

    @property
    def symbols(self) -> Sequence[str]:
        """The names of the symbols, by number."""

    def symbol_ids(self, names: Iterable[str]) -> Tensor:
        """The numbers of the named symbols."""

    def inside_scores(self, tokens: Tensor, widths: Tensor) -> Tensor:
        """log P(A =>* the first `widths` words) [n, symbols]."""

    def prefix_posteriors(
        self, tokens: Tensor, lengths: Tensor, asked: Sequence[tuple[Tensor, Tensor]]
    ) -> list[Tensor]:  # fmt: skip
        """p(the topmost of some symbols over a prefix | the words), for each (widths, symbols)."""

    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool = True) -> Sentences:
        """num_sentences independent sentences."""


class _SpanTask(Task):
    def __init__(self, name: str, language: Grammatical, span: Span) -> None:
        self.name, self.language, self.span = name, language, span
        self.classes = (*span.symbols, NONE)
        self.symbols = language.symbol_ids(span.symbols)


class InsideArgmax(_SpanTask):
    """argmax_i P(S_i =>* x_1 .. x_L), by the inside score of a prefix; the first symbol wins a tie.

    These are tasks A, B and C as published (Liu et al. 2022, A.1): they use neither a prior over the symbols nor the
    rest of the sentence. The label is NONE where no symbol derives the prefix. It is a function of the words, so the
    Bayes accuracy is 1.
    """

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        widths = self.span.width(sentences.lengths)
        scores = self.language.inside_scores(sentences.tokens, widths)[:, self.symbols]
        best = scores.max(1)
        return torch.where(best.values > -torch.inf, best.indices, len(self.symbols))

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        return Estimate(1.0, 0.0, num_sentences)


class TreeSymbol(_SpanTask):
    """The symbol that dominates the prefix in the sampled tree; NONE where the prefix is not a constituent.

    Where a chain of unary rules puts several of the symbols over the same words, the topmost is the label.
    """

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        nodes = latent(sentences, "nodes")
        start, width, symbol = nodes.unbind(-1)
        lookup = torch.full((len(self.language.symbols) + 1,), -1, device=nodes.device)
        lookup[self.symbols] = torch.arange(len(self.symbols), device=nodes.device)
        label = lookup[symbol]
        wanted = (start == 0) & (width == self.span.width(sentences.lengths)[:, None]) & (label >= 0)
        first = wanted.int().argmax(1)
        found = label.gather(1, first[:, None])[:, 0]
        return torch.where(wanted.any(1), found, len(self.symbols))

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        sentences = self.language.sample(num_sentences, generator, latents=False)
        return Estimate.from_samples(self.posterior(sentences).amax(1))

    def posterior(self, sentences: Sentences) -> Tensor:
        """p(label = c | the words) [n, classes] float64."""
        return tree_posteriors([self], sentences)[0]


def tree_posteriors(tasks: Sequence[TreeSymbol], sentences: Sentences) -> list[Tensor]:
    """p(label = c | the words) for several tasks of one language, from one chart per sentence.

    Returns:
        [n, classes] float64 for each task.
    """
    if not tasks:
        return []
    asked = [(task.span.width(sentences.lengths), task.symbols) for task in tasks]
    over = tasks[0].language.prefix_posteriors(sentences.tokens, sentences.lengths, asked)
    return [torch.cat([p, (1 - p.sum(1, keepdim=True)).clamp(min=0)], 1) for p in over]


def bayes_accuracies(
    tasks: Sequence[Task], sentences: Sentences, generators: Sequence[torch.Generator]
) -> list[Estimate]:  # fmt: skip
    """E max_c p(c | x) for tasks of one language, each over as many sentences as are given.

    Tasks that ask for symbols in the tree share the given sentences and their charts. Every other task draws its own.

    Args:
        tasks: of the language.
        sentences: drawn from it.
        generators: one for each task.

    Returns:
        An estimate for each task.
    """
    trees = [task for task in tasks if isinstance(task, TreeSymbol)]
    best = iter([Estimate.from_samples(p.amax(1)) for p in tree_posteriors(trees, sentences)])
    return [
        next(best) if isinstance(task, TreeSymbol) else task.bayes_accuracy(len(sentences), generator)
        for task, generator in zip(tasks, generators, strict=True)
    ]
