"""Tasks of the bracket languages: the number of open brackets after some words (Liu et al. 2022, section 6)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...estimate import Estimate
from ..sentences import Sentences
from ..tasks import Sampler, Task, TaskKind, task_kinds
from .brackets import BalancedBrackets
from .dyck import Dyck


def default_prefixes(length: int) -> tuple[int, ...]:
    """A quarter, half and three quarters of a length, each at least 1, without repetitions."""
    return tuple(sorted({max(1, length * quarters // 4) for quarters in (1, 2, 3)}))


class OpenBrackets(Task):
    """The number of opening brackets minus the number of closing ones among the first words of a sentence.

    It is a function of the words, so the Bayes accuracy is 1.

    Args:
        name: the name of the task.
        words: the number of words read; a shorter sentence is read whole.
        opens: [V], which words are opening brackets; all others are closing brackets.
        values: the possible numbers; class c is the c-th smallest.
    """

    def __init__(self, name: str, words: int, opens: Sequence[bool], values: Iterable[int]) -> None:
        self.name, self.words, self.opens, self.values = name, words, torch.tensor(opens), sorted(values)
        self.classes = tuple(map(str, self.values))

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        tokens = sentences.tokens[:, : self.words]
        read = torch.arange(tokens.shape[1], device=tokens.device) < sentences.lengths[:, None]
        steps = torch.where(self.opens.to(tokens.device)[tokens.masked_fill(~read, 0)], 1, -1)
        number = (steps * read).sum(1)
        values = torch.tensor(self.values, device=tokens.device)
        label = torch.searchsorted(values, number).clamp(max=len(values) - 1)
        if bool((values[label] != number).any()):
            row = int((values[label] != number).nonzero()[0])
            raise InputError(
                f"{self.name}: sentence {row} has {int(number[row])}, expected one of {self.values}; give sentences "
                "of this language"
            )
        return label

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        return Estimate(1.0, 0.0, num_sentences)


class Mismatches(OpenBrackets):
    """g(x), the number of ( (word 0) minus the number of ) (word 1) in T brackets drawn uniformly and independently.

        P(g(x) = 2 k - T) = C(T, k) / 2^T,   k = 0 .. T

    A string x is balanced if g(x) = 0; every other input is impossible in the language. This is the downstream task and
    distribution of Liu et al. 2022, section 6, equation 2. They fit g by least squares; here, each value is a class.
    """

    own_inputs = True

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, length, [True, False], range(-length, length + 1, 2))

    @override
    def inputs(self, language: Sampler, num_sentences: int, generator: torch.Generator) -> Sentences:
        tokens = torch.randint(2, (num_sentences, self.words), generator=generator, device=language.device)
        return Sentences(tokens, torch.full((num_sentences,), self.words, device=language.device))


@task_kinds.register("mismatches")
@dataclass(frozen=True)
class UniformMismatches(TaskKind[BalancedBrackets]):
    """The number of mismatches of independent uniform brackets: `Mismatches`."""

    needs = BalancedBrackets

    @override
    def tasks(self, language: BalancedBrackets) -> Iterator[Task]:
        yield Mismatches(self.name, language.max_length)


@task_kinds.register("difference")
@dataclass(frozen=True)
class Differences(TaskKind[BalancedBrackets]):
    """The number of ( minus the number of ) among the first words of a balanced string.

    Args:
        words: the number of words read; unless given, there is a task difference-L for each L in the language's
            task_positions.
    """

    words: int | None = None

    needs = BalancedBrackets
    order = 1

    @override
    def tasks(self, language: BalancedBrackets) -> Iterator[Task]:
        for name, words in _prefixes(self, language):
            most = min(words, language.max_length - words)
            yield OpenBrackets(name, words, [True, False], range(-most, most + 1, 2))


@task_kinds.register("depth")
@dataclass(frozen=True)
class Depths(TaskKind[Dyck]):
    """The number of open brackets of a nested string after its first words; 0 if the string is shorter.

    Args:
        words: the number of words read; unless given, there is a task depth-L for each L in the language's
            task_positions.
    """

    words: int | None = None

    needs = Dyck

    @override
    def tasks(self, language: Dyck) -> Iterator[Task]:
        lengths = (language.length_log_prob > -torch.inf).nonzero()[:, 0].tolist()
        deepest = max(lengths) // 2 if language.max_depth is None else language.max_depth
        for name, words in _prefixes(self, language):
            values = {0} if lengths[0] < words else set()
            for length in lengths:
                values.update(range(words % 2, min(words, length - words, deepest) + 1, 2))
            yield OpenBrackets(name, words, [word.startswith("(") for word in language.words], values)


def _prefixes(kind: Differences | Depths, language: BalancedBrackets | Dyck) -> Iterator[tuple[str, int]]:
    """Yields (name, number of words) of each task: for the given words, or for the language's task positions."""
    if kind.words is None:
        positions = language.task_positions
        for words in default_prefixes(language.max_length) if positions is None else positions:
            yield f"{kind.name}-{words}", words
        return
    if not 1 <= kind.words < language.max_length:
        raise InputError(f"words is {kind.words}, expected 1 to {language.max_length - 1}; choose another number")
    yield kind.name, kind.words
