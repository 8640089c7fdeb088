"""How many brackets are open after some words: the tasks of the bracket languages (Liu et al. 2022, section 6)."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ...errors import InputError
from ...estimate import Estimate
from ..sentences import Sentences
from ..tasks import Sampler, Task


def default_prefixes(length: int) -> tuple[int, ...]:
    """A quarter, half and three quarters of a length, each at least 1 and named once."""
    return tuple(sorted({max(1, length * quarters // 4) for quarters in (1, 2, 3)}))


class OpenBrackets(Task):
    """The number of opening minus the number of closing brackets among the first `words` words of a sentence.

    opens [V]: which words are opening brackets, all others close. values: the numbers that occur; class c is the c-th
    smallest. A shorter sentence is taken whole. A function of the words: Bayes accuracy is 1.
    """

    def __init__(self, name: str, words: int, opens: Sequence[bool], values: Iterable[int]) -> None:
        self.name, self.words, self.opens, self.values = name, words, torch.tensor(opens), sorted(values)
        self.classes = tuple(map(str, self.values))

    def labels(self, sentences: Sentences) -> Tensor:
        """Labels [n] int64. Raises InputError for a sentence whose number is none of the values."""
        tokens = sentences.tokens[:, : self.words]
        read = torch.arange(tokens.shape[1], device=tokens.device) < sentences.lengths[:, None]
        steps = torch.where(self.opens.to(tokens.device)[tokens.masked_fill(~read, 0)], 1, -1)
        number = (steps * read).sum(1)
        values = torch.tensor(self.values, device=tokens.device)
        label = torch.searchsorted(values, number).clamp(max=len(values) - 1)
        if bool((values[label] != number).any()):
            row = int((values[label] != number).nonzero()[0])
            raise InputError(f"{self.name}: sentence {row} has {int(number[row])}, expected one of {self.values}")
        return label

    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        return Estimate(1.0, 0.0, num_sentences)


class Mismatches(OpenBrackets):
    """g(x), the number of ( (word 0) minus the number of ) (word 1), at T brackets drawn uniformly and independently.

        P(g(x) = 2 k - T) = C(T, k) / 2^T,   k = 0 .. T

    The downstream task and distribution of Liu et al. 2022, section 6, equation 2; they fit g by least squares, here
    each value is a class. x is balanced where g(x) = 0; every other input is impossible in the language.
    """

    own_inputs = True

    def __init__(self, name: str, length: int) -> None:
        super().__init__(name, length, [True, False], range(-length, length + 1, 2))

    def inputs(self, language: Sampler, num_sentences: int, generator: torch.Generator) -> Sentences:
        tokens = torch.randint(2, (num_sentences, self.words), generator=generator, device=language.device)
        return Sentences(tokens, torch.full((num_sentences,), self.words, device=language.device))
