"""Downstream tasks of a grammar: the symbol over a prefix, by inside score as published, or in the sampled tree."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, at_least
from ...estimate import Estimate
from ..sentences import Sentences
from ..tasks import Task, TaskKind, latent, task_kinds
from .language import PCFG
from .span import Span

NONE = "none"
"""The class of a sentence without such a constituent."""


class _SpanTask(Task):
    def __init__(self, name: str, language: PCFG, span: Span) -> None:
        self.name, self.language, self.span = name, language, span
        self.classes = (*span.symbols, NONE)
        self.symbols = language.symbol_ids(span.symbols)


class InsideArgmax(_SpanTask):
    """argmax_i P(S_i =>* x_1 .. x_L), by the inside score of a prefix. The first symbol wins a tie.

    These are tasks A, B and C as published (Liu et al. 2022, A.1): they use neither a prior over the symbols nor the
    rest of the sentence. The label is NONE if no symbol derives the prefix. It is a function of the words, so the Bayes
    accuracy is 1.
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
    """The symbol that dominates the prefix in the sampled tree; NONE if none of the symbols does.

    If a chain of unary rules puts several of the symbols over the same words, the topmost is the label.
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


@dataclass(frozen=True)
class _SpanTasks(TaskKind[PCFG]):
    """Tasks over a prefix of the sentence: one for each of the language's spans, or one for the given span."""

    symbols: str | None = None
    words: int | None = None

    needs = PCFG

    def __post_init__(self) -> None:
        if self.words is not None:
            at_least("words", self.words, 1)
            if self.symbols is None:
                raise InputError(f"words is {self.words} without symbols, expected both; add symbols, such as 'NP VP'")

    def spans(self, language: PCFG) -> Mapping[str, Span]:
        """name -> span of the tasks."""
        if self.symbols is None:
            return language.spans
        symbols = tuple(dict.fromkeys(self.symbols.split()))
        if not symbols:
            raise InputError("symbols is empty, expected nonterminals separated by spaces; name some")
        return {self.name: Span(self.words, symbols)}


@task_kinds.register("inside")
@dataclass(frozen=True)
class InsideArgmaxes(_SpanTasks):
    """The symbol with the highest inside score over the first words of the sentence: `InsideArgmax`.

    Args:
        symbols: the nonterminals to choose from, separated by spaces; unless given, each span of the language has its
            own task, with the span's name.
        words: the number of words in the span; all words of the sentence unless given.
    """

    @override
    def tasks(self, language: PCFG) -> Iterator[Task]:
        for name, span in self.spans(language).items():
            yield InsideArgmax(name, language, span)


@task_kinds.register("tree")
@dataclass(frozen=True)
class TreeSymbols(_SpanTasks):
    """The symbol over the first words of the sentence in its sampled tree: `TreeSymbol`.

    Args:
        symbols: the nonterminals to choose from, separated by spaces; unless given, each span of the language has its
            own task, named "tree-" and the span's name.
        words: the number of words in the span; all words of the sentence unless given.
    """

    order = 1

    @override
    def tasks(self, language: PCFG) -> Iterator[Task]:
        for name, span in self.spans(language).items():
            yield TreeSymbol(name if self.symbols else f"tree-{name}", language, span)


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
    """E max_c p(c | x) for tasks of one language, each estimated from len(sentences) sentences.

    `TreeSymbol` tasks share the given sentences and their charts. Every other task draws its own sentences.

    Args:
        tasks: tasks of the language.
        sentences: sentences from the language.
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
