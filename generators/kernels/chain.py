"""A compiled sampler for the state paths and words of Markov chains."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from .counter_random import draw_key, uniform
from .jit import compiled_pass
from .search_table import SearchTable, find_from
from .threads import DRAWS, in_parallel


@dataclass(frozen=True)
class ChainTables:
    """The search tables of an HMM: its initial, transition and emission probabilities."""

    initial: SearchTable
    transition: SearchTable
    emission: SearchTable

    @classmethod
    def of(cls, initial: Tensor, blocks: Tensor, emission: Tensor) -> Self:
        """The tables of an HMM.

        Args:
            initial: p(z_1), [K].
            blocks: the blocks [B, k, k] of a block-diagonal transition matrix.
            emission: p(word | state), [K, V].

        Returns:
            A search table for each of the three.
        """
        return cls(*(SearchTable.of(weights) for weights in (initial[None], blocks.flatten(0, 1), emission)))


def draw_chains(
    tables: ChainTables, num_sentences: int, length: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws states [n, T] and tokens [n, T], with T = length; see `HMM.sample`."""
    states, tokens = (torch.empty(num_sentences, length, dtype=torch.long) for _ in range(2))
    arrays = [
        array for table in (tables.initial, tables.transition, tables.emission) for array in (table.sums, table.begins)
    ]
    arguments = (*arrays, draw_key(generator), states.numpy(), tokens.numpy())
    in_parallel(_draw, num_sentences, *arguments, least=DRAWS // (2 * length))
    return states, tokens


@compiled_pass
def _draw(
    initial: np.ndarray,
    initial_begins: np.ndarray,
    transition: np.ndarray,
    transition_begins: np.ndarray,
    emission: np.ndarray,
    emission_begins: np.ndarray,
    key: np.ndarray,
    states: np.ndarray,
    tokens: np.ndarray,
    begin: int,
    end: int,
) -> None:
    size = transition.shape[1]
    for row in range(begin, end):
        state = find_from(initial[0], initial_begins[0], uniform(key, row, 0))
        for t in range(states.shape[1]):
            if t > 0:
                within = find_from(transition[state], transition_begins[state], uniform(key, row, 2 * t))
                state = state // size * size + within
            states[row, t] = state
            tokens[row, t] = find_from(emission[state], emission_begins[state], uniform(key, row, 2 * t + 1))
