"""Downstream tasks: labels of sentences, and the best accuracy anyone could reach who reads the words.

A task that is a function of the words alone has Bayes accuracy 1. A task that asks for a latent variable z has

    Bayes accuracy = E_x max_z p(z | x).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..estimate import Estimate
from .sentences import Sentences

if TYPE_CHECKING:
    from .language import Language
    from .pcfg.language import PCFG

NONE = "none"
"""The class of a sentence that has no such constituent."""


def latent(sentences: Sentences, name: str) -> Tensor:
    """A latent variable as sampled. Raises InputError where the sentences were sampled without."""
    if name not in sentences.latents:
        raise InputError(f"the sentences have no latent '{name}', expected sampled ones; sample with latents=True")
    return sentences.latents[name]


def checked_positions(positions: Sequence[int] | None, last: int) -> tuple[int, ...] | None:
    """The positions as a tuple; None stays None. Raises InputError but for different whole numbers from 1 to last."""
    if positions is None:
        return None
    for position in positions:
        if type(position) is not int or not 1 <= position <= last:
            raise InputError(f"task_positions has {position!r}, expected whole numbers from 1 to {last}; correct it")
    if len(set(positions)) != len(positions):
        raise InputError(f"task_positions is {list(positions)}, expected different numbers; name each once")
    return tuple(positions)


class Task(ABC):
    """name; classes: the label strings, so that label c means classes[c]."""

    name: str
    classes: tuple[str, ...]
    own_inputs = False
    """Whether `inputs` are no sample of the language: its conditionals and corpora then say nothing of this task."""

    def inputs(self, language: "Language", num_sentences: int, generator: torch.Generator) -> Sentences:
        """num_sentences independent sentences for probes to learn and be tested on: the language's, or own_inputs."""
        return language.sample(num_sentences, generator)

    @abstractmethod
    def labels(self, sentences: Sentences) -> Tensor:
        """Labels [n] int64. Raises InputError where they need latents that the sentences lack."""

    @abstractmethod
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        """The accuracy of the best classifier that reads the words, by exact posteriors over sampled inputs."""


@dataclass(frozen=True)
class Span:
    """A prefix of the sentence and the symbols to choose from: words = None is the whole sentence.

    A sentence shorter than `words` is taken whole.
    """

    words: int | None
    symbols: tuple[str, ...]

    def width(self, lengths: Tensor) -> Tensor:
        return lengths if self.words is None else lengths.clamp(max=self.words)


class _SpanTask(Task):
    def __init__(self, name: str, language: "PCFG", span: Span) -> None:
        self.name, self.language, self.span = name, language, span
        self.classes = (*span.symbols, NONE)
        self.symbols = language.symbol_ids(span.symbols)


class InsideArgmax(_SpanTask):
    """argmax_i P(S_i =>* x_1 .. x_L), the inside score of a prefix; ties go to the first symbol.

    Tasks A, B and C as published (Liu et al. 2022, A.1): neither a prior over the symbols nor the rest of the sentence
    enters. The label is NONE where no symbol derives the prefix. It is a function of the words: Bayes accuracy is 1.
    """

    def labels(self, sentences: Sentences) -> Tensor:
        widths = self.span.width(sentences.lengths)
        scores = self.language.inside_scores(sentences.tokens, widths)[:, self.symbols]
        best = scores.max(1)
        return torch.where(best.values > -torch.inf, best.indices, len(self.symbols))

    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        return Estimate(1.0, 0.0, num_sentences)


class TreeSymbol(_SpanTask):
    """The symbol that truly dominates the prefix in the sampled tree; NONE where the prefix is no constituent.

    Where a chain of unary rules puts several of the symbols over the same words, the topmost counts.
    """

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

    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        sentences = self.language.sample(num_sentences, generator, latents=False)
        return Estimate.from_samples(self.posterior(sentences).amax(1))

    def posterior(self, sentences: Sentences) -> Tensor:
        """p(label = c | the words) [n, classes] float64."""
        return tree_posteriors([self], sentences)[0]


def tree_posteriors(tasks: Sequence[TreeSymbol], sentences: Sentences) -> list[Tensor]:
    """p(label = c | the words) [n, classes] float64 of each task of one language, from one chart a sentence."""
    if not tasks:
        return []
    asked = [(task.span.width(sentences.lengths), task.symbols) for task in tasks]
    over = tasks[0].language.prefix_posteriors(sentences.tokens, sentences.lengths, asked)
    return [torch.cat([p, (1 - p.sum(1, keepdim=True)).clamp(min=0)], 1) for p in over]


def bayes_accuracies(
    tasks: Sequence[Task], sentences: Sentences, generators: Sequence[torch.Generator]
) -> list[Estimate]:  # fmt: skip
    """E max_c p(c | x) of tasks of one language, over as many sentences as are given.

    Those that ask for symbols in the tree share the given sentences and their charts; each other one draws its own.
    """
    trees = [task for task in tasks if isinstance(task, TreeSymbol)]
    best = iter([Estimate.from_samples(p.amax(1)) for p in tree_posteriors(trees, sentences)])
    return [
        next(best) if isinstance(task, TreeSymbol) else task.bayes_accuracy(len(sentences), generator)
        for task, generator in zip(tasks, generators, strict=True)
    ]


def find_task(language: "Language", name: str) -> Task:
    """The language's task of this name. Raises InputError, naming the nearest."""
    if name not in language.tasks:
        raise unknown("task", name, language.tasks)
    return language.tasks[name]
