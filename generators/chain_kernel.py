"""Drawing state paths and words of Markov chains as compiled code, sentence by sentence."""

import numpy as np
import torch
from torch import Tensor

from .compiled import compiled_pass
from .counter_random import draw_key, find, uniform
from .parallel import in_parallel


def draw_chains(
    initial: Tensor, blocks: Tensor, emission: Tensor, num_sentences: int, length: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(states [n, T], tokens [n, T]) of an HMM whose transition has the blocks [B, k, k]; see `HMM.sample`."""
    states, tokens = (
        torch.empty(num_sentences, length, dtype=torch.long),
        torch.empty(num_sentences, length, dtype=torch.long),
    )
    tables = [table.cumsum(-1).numpy() for table in (initial, blocks.flatten(0, 1), emission)]
    in_parallel(_draw, num_sentences, *tables, draw_key(generator), states.numpy(), tokens.numpy())
    return states, tokens


@compiled_pass
def _draw(
    initial: np.ndarray,
    transition: np.ndarray,
    emission: np.ndarray,
    key: np.ndarray,
    states: np.ndarray,
    tokens: np.ndarray,
    begin: int,
    end: int,
) -> None:
    size = transition.shape[1]
    for row in range(begin, end):
        state = find(initial, uniform(key, row, 0))
        for t in range(states.shape[1]):
            if t > 0:
                state = state // size * size + find(transition[state], uniform(key, row, 2 * t))
            states[row, t] = state
            tokens[row, t] = find(emission[state], uniform(key, row, 2 * t + 1))
