"""All masked bracket sentences of one length, and all sentences of independent brackets, as vectors.

A bracket at position i is +e_i if it opens and -e_i if it closes, in R^(2 T); the mask at position i is e_(T + i). In a
valid sentence as many open as close, so the masked bracket is y = -(sum of the others).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ...errors import InputError

LONGEST = 12
"""Length up to which all sentences are enumerated: 11,088 masked ones."""


@dataclass(frozen=True)
class Brackets:
    """Sentences of T brackets.

    Args:
        length: T, even.
    """

    length: int

    def __post_init__(self) -> None:
        if self.length < 2 or self.length % 2 or self.length > LONGEST:
            raise InputError(f"length is {self.length}, expected an even number from 2 to {LONGEST}; correct it")

    @cached_property
    def signs(self) -> Tensor:
        """All sentences of independent brackets as +1 and -1, [2^T, T]."""
        numbers = torch.arange(2**self.length)
        bits = numbers[:, None] >> torch.arange(self.length) & 1
        return 2.0 * bits.double() - 1

    @cached_property
    def valid(self) -> Tensor:
        """The sentences in which as many brackets open as close, [C(T, T/2), T]."""
        return self.signs[self.signs.sum(1) == 0]

    @cached_property
    def masked(self) -> Tensor:
        """All masked sentences, [C(T, T/2) T, T, 2 T]: each sentence with each position masked, equally likely."""
        count = len(self.valid)
        signs = self.valid.repeat_interleave(self.length, 0)
        mask = torch.eye(self.length, dtype=torch.float64).repeat(count, 1)
        return torch.cat([torch.diag_embed(signs * (1 - mask)), torch.diag_embed(mask)], 2)

    @cached_property
    def targets(self) -> Tensor:
        """y, the masked brackets, [C(T, T/2) T]."""
        return self.valid.flatten()

    @cached_property
    def downstream(self) -> Tensor:
        """All sentences of independent brackets, [2^T, T, 2 T]."""
        return torch.cat([torch.diag_embed(self.signs), torch.zeros_like(torch.diag_embed(self.signs))], 2)

    @cached_property
    def mismatches(self) -> Tensor:
        """g, opening less closing brackets, [2^T]; its mean square is T."""
        return self.signs.sum(1)

    @property
    def least_trace(self) -> float:
        """2 / T^(1/2), below which no network that predicts the masked bracket has its trace (Lemma D.1)."""
        return 2 / math.sqrt(self.length)
