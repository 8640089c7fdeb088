"""Balanced brackets: as many ( as ), in any order (Liu et al. 2022, section 6).

A sentence is uniform over the C(T, T/2) strings of even length T with equally many of both. Given some of its words,
all ways to fill in the rest are equally likely. Let k be the number of visible ( and h the number of hidden words, not
counting position t. Then

    p(x_t = ( | the visible words other than the one at t) = (T/2 - k) / (h + 1),

which is 0 or 1 if nothing else is hidden.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import yaml
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ..language import Language
from ..sentences import Sentences
from ..tasks import checked_positions
from .base import Family, families


class BalancedBrackets(Language):
    """The uniform distribution over strings of `length` words with as many ( (word 0) as ) (word 1).

    Args:
        length: an even number.
        task_positions: the L of the tasks difference-L; by default a quarter, half and three quarters of the length.

    Raises:
        InputError: for a length that is odd or below 2, and for positions that are not between 1 and length - 1.
    """

    words = ("(", ")")

    def __init__(self, length: int, task_positions: Sequence[int] | None = None) -> None:
        if not 2 <= length <= 10**6 or length % 2:
            raise InputError(f"length is {length}, expected an even number from 2 to 1,000,000; correct it")
        self.max_length, self.half = length, length // 2
        self.length_log_prob = torch.full((length + 1,), -torch.inf, dtype=torch.float64)
        self.length_log_prob[length] = 0.0
        self.task_positions = checked_positions(task_positions, length - 1)

    def draw(self, num_sentences: int, generator: torch.Generator, latents: bool) -> Sentences:
        """num_sentences random permutations of T/2 brackets ( and T/2 brackets ). There are no latent variables."""
        keys = torch.rand(num_sentences, self.max_length, generator=generator, dtype=torch.float64, device=self.device)
        tokens = (keys.argsort(1) >= self.half).long()
        return Sentences(tokens, torch.full((num_sentences,), self.max_length, device=self.device))

    @override
    def log_prob(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths, hidden = self.checked(tokens, lengths, None)
        possible = (self._seen(tokens, lengths, hidden).sum(1) == self.half).all(1)
        log_p = torch.full((len(tokens),), -torch.inf, dtype=torch.float64, device=self.device)
        return log_p.masked_fill(possible, -math.log(math.comb(self.max_length, self.half)))

    @override
    def conditional_table(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        self.check_lengths(lengths)
        seen = self._seen(tokens, lengths, hidden)
        total = seen.sum(1, keepdim=True)
        if bool((total > self.half).any()):
            row = int((total > self.half).nonzero()[0, 0])
            raise InputError(f"sentence {row} is impossible in this language; leave it out, or hide the wrong word")
        others = (total - seen.long()).double()
        unknown = self.max_length - others.sum(-1, keepdim=True)
        inside = torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]
        return torch.where(inside[..., None], (self.half - others) / unknown, 0.0).to(dtype)

    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        """p(x_{t+1} = ( | x_1 .. x_t) = (T/2 - the number of ( so far) / (T - t); see `Language.next_word`."""
        tokens, lengths = self.checked_beginnings(tokens, lengths)
        seen = self._seen(tokens, lengths, torch.zeros_like(tokens, dtype=torch.bool)).cumsum(1)
        if bool((seen > self.half).any()):
            row = int((seen > self.half).nonzero()[0, 0])
            raise InputError(f"no sentence begins with the words of sentence {row}; leave it out, or correct its words")
        left = self.half - torch.nn.functional.pad(seen.double(), (0, 0, 1, 0))
        ends = (left.sum(-1, keepdim=True) == 0).double()
        following = left / left.sum(-1, keepdim=True).clamp(min=1)
        inside = torch.arange(tokens.shape[1] + 1, device=self.device) <= lengths[:, None]
        return torch.cat([following, ends], -1) * inside[..., None]

    @override
    def floats_per_sentence(self, length: int) -> int:
        return 8 * length

    def _seen(self, tokens: Tensor, lengths: Tensor, hidden: Tensor) -> Tensor:
        """Whether there is a visible ( at a position, and whether there is a visible ), [n, T, 2] bool."""
        visible = (torch.arange(tokens.shape[1], device=self.device) < lengths[:, None]) & ~hidden
        return torch.stack([(tokens == word) & visible for word in range(2)], -1)

    suffix = ".yaml"

    def write(self, path: str) -> str:
        """Writes path.yaml: family, length, and task_positions if they were given."""
        positions = {} if self.task_positions is None else {"task_positions": list(self.task_positions)}
        with open(path + self.suffix, "w", encoding="utf-8") as file:
            yaml.safe_dump({"family": "brackets", "length": self.max_length} | positions, file, sort_keys=False)
        return path + self.suffix


@families.register("brackets")
@dataclass(frozen=True, kw_only=True)
class BracketsFamily(Family):
    """As many ( as ), in any order: `BalancedBrackets`.

    Args:
        length: the number of words in a sentence, an even number.
        task_positions: the L of the tasks difference-L; by default a quarter, half and three quarters of the length.

    Source: Liu et al. 2022, 2210.14199, section 6.
    """

    length: int
    task_positions: list[Any] | None = None

    @override
    def build(self) -> Language:
        return BalancedBrackets(self.length, self.task_positions)
