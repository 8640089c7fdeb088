"""HMMs with memory cells, as Wei, Xie and Ma (2021) describe them: each word depends on one cell of the memory."""

from dataclasses import dataclass
from itertools import product
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

MOST_MEMORIES = 10**6
"""The largest number of contents of the whole memory for which tables are built."""


@families.register("wei2021-cells-hmm")
@dataclass(frozen=True, kw_only=True)
class Wei2021CellsFamily(Family):
    """A memory of N cells that is drawn once per sentence, and a chain that moves from cell to cell.

        M_1 .. M_N uniform,   z_t = (J_t, S_t) a chain,   x_t from the row (M_(J_t), J_t, S_t) of the emission

    J_t is the cell read at step t, and S_t is the syntax state. A word depends on the content of the cell that is read,
    on which cell it is, and on the syntax state. So, unlike in wei2021-memory-hmm, most words are independent of the
    content of a given cell. The language is an HMM over a product space: block b is one content (M_1 .. M_N) of the
    memory, with the last cell changing fastest, and state J * states + S within a block means the same in all blocks.
    The transition is a mixture of cells * states random permutations. The temperatures are those of the family
    wei2021-hmm.

    The task "posterior" asks for the sign of a random linear function of p(M_cell | x_1 .. x_128) (`random_readout`),
    and the task "memory" asks for the contents of all cells.

    Args:
        cells: number of cells, N.
        values: number of possible contents of a cell.
        states: number of syntax states.
        words: size of the vocabulary.
        length: number of words in a sentence.
        cell: the cell that the task "posterior" asks for, counted from 1.
        task_words: number of words that the task "posterior" reads; a head before the text reads no more.
        task_positions: positions, from 1, of the hidden states that are tasks; see `HMM`.
        seed: seed of all random choices.

    Raises:
        InputError: on `build`, for fewer than 2 values, any other number below 1, numbers that are too large, and a
            cell that does not exist.

    Source: Wei, Xie and Ma 2021, 2106.09226, memory-augmented HMMs. The released code has no cells; sizes and
        temperatures are satlab's.
    """

    cells: int = 2
    values: int = 2
    states: int = 2
    words: int = 10
    length: int = WINDOW
    cell: int = 1
    task_words: int = PREFIX
    task_positions: list[Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        if self.values < 2 or min(self.cells, self.states, self.words, self.length, self.task_words) < 1:
            raise InputError(
                f"{self.cells} cells, {self.values} values, {self.states} states, {self.words} words, length "
                f"{self.length}, task_words {self.task_words}: expected at least 2 values and 1 of the others; correct "
                "them"
            )
        if not 1 <= self.cell <= self.cells:
            raise InputError(f"cell is {self.cell}, expected 1 to {self.cells}; choose another")
        generator = random_stream(self.seed, "language")
        local = self.cells * self.states
        memories = self.values**self.cells if self.cells < MOST_MEMORIES.bit_length() else MOST_MEMORIES + 1
        check_size(min(memories, MOST_MEMORIES + 1) * local, local)
        start = softmax_rows(1, local, START_TEMPERATURE, generator)[0]
        block = permutation_mixture(local, local, TRANSITION_TEMPERATURE, generator)
        rows = softmax_rows(self.values * local, self.words, EMISSION_TEMPERATURE, generator)
        contents = torch.tensor(list(product(range(self.values), repeat=self.cells)))
        emission = rows.reshape(self.values, self.cells, self.states, self.words)[
            contents[:, :, None], torch.arange(self.cells)[:, None], torch.arange(self.states)
        ]
        tables = (
            (start / memories).repeat(memories),
            block.expand(memories, local, local),
            emission.reshape(memories * local, self.words),
        )
        holds = torch.nn.functional.one_hot(contents[:, self.cell - 1], self.values).T.double()
        read = min(self.length, self.task_words)
        groups = holds.repeat_interleave(local, 1)
        readout = random_readout(HMM(*tables, read), groups, generator, self.task_words)
        return HMM(*(*tables, self.length), task_positions=self.task_positions, block_task="memory", readout=readout)
