"""The memory-augmented HMMs of Wei, Xie and Ma (2021), section 5, as in the released code."""

from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..hmm.language import HMM
from ..language import Language
from .base import Family, families
from .draws import check_size, permutation_mixture, softmax_rows
from .wei2021_hmm import EMISSION_TEMPERATURE, PREFIX, START_TEMPERATURE, TRANSITION_TEMPERATURE, WINDOW, random_readout


@families.register("wei2021-memory-hmm")
@dataclass(frozen=True, kw_only=True)
class Wei2021MemoryFamily(Family):
    """A chain of pairs (memory slot, hidden state), where pair (i, j) is state i * states + j; the slot never changes.

    All slots share the transition of the hidden state, a mixture of slots * states random permutations. Each pair has
    its own row of the emission. The initial distribution and the temperatures are those of the family wei2021-hmm. The
    task "posterior" asks for the sign of a random linear function of p(slot | x_1 .. x_128) (`random_readout`), and the
    task "slot" asks for the slot. The paper has 4 hidden states and 2, 3, 5 or 7 slots.

    Args:
        slots: number of possible values of the memory.
        states: number of hidden states for each slot.
        words: size of the vocabulary.
        length: number of words in a sentence.
        task_words: number of words that the task "posterior" reads; a head before the text reads no more.
        task_positions: positions, from 1, of the hidden states that are tasks; see `HMM`.
        seed: seed of all random choices.

    Raises:
        InputError: on `build`, for fewer than 2 slots, any other number below 1, and numbers that are too large.

    Source: Wei, Xie and Ma 2021, 2106.09226, section 5.
    """

    slots: int
    states: int = 4
    words: int = 10
    length: int = WINDOW
    task_words: int = PREFIX
    task_positions: list[Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        if self.slots < 2 or min(self.states, self.words, self.length, self.task_words) < 1:
            raise InputError(
                f"{self.slots} slots, {self.states} states, {self.words} words, length {self.length}, task_words "
                f"{self.task_words}: expected at least 2 slots and 1 of the others; correct them"
            )
        generator = random_stream(self.seed, "language")
        pairs = self.slots * self.states
        check_size(pairs, pairs)
        initial = softmax_rows(1, pairs, START_TEMPERATURE, generator)[0]
        block = permutation_mixture(self.states, pairs, TRANSITION_TEMPERATURE, generator)
        transition = block.expand(self.slots, self.states, self.states)
        emission = softmax_rows(pairs, self.words, EMISSION_TEMPERATURE, generator)
        groups = torch.eye(self.slots, dtype=torch.float64).repeat_interleave(self.states, 1)
        read = min(self.length, self.task_words)
        readout = random_readout(HMM(initial, transition, emission, read), groups, generator, self.task_words)
        return HMM(
            *(initial, transition, emission, self.length),
            task_positions=self.task_positions,
            block_task="slot",
            readout=readout,
        )
