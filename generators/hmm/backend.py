"""The passes over an HMM's chain: an interface, and an implementation for each device."""

from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from ..kernels.chain import ChainTables, draw_chains
from ..kernels.forward_backward import compiled_conditionals, compiled_forward_backward
from ..latent.categorical import Categorical
from ..latent.language import room_for
from .forward_backward import forward_backward


class ChainBackend(Protocol):
    """Passes of a chain of K states over sentences of T words from a vocabulary of V words."""

    def leaf_margins(self, leaf_scores: Tensor) -> tuple[Tensor, Tensor]:
        """(log Z [n], m [n, T, K]) for leaf_scores [n, T, K]. At each step, m is proportional to dZ / d leaf_scores."""

    def conditionals(self, words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
        """(log Z [n], p(x_t = v | the other visible words) [n, T, V]) for words [n, T]; V means a hidden word.

        None if the implementation has no such pass; the conditionals then follow from `leaf_margins`.
        """

    def draw(self, num_sentences: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(states, words), each [num_sentences, length] int64."""


def chain_backend(initial: Tensor, blocks: Tensor, emission: Tensor) -> ChainBackend:
    """The compiled passes for tables on a CPU, and the passes over tensors for other devices.

    Args:
        initial: [K].
        blocks: the blocks of the transition, [B, K/B, K/B].
        emission: [K, V].

    Returns:
        The passes.
    """
    return (CompiledChain if initial.device.type == "cpu" else TensorChain)(initial, blocks, emission)


class CompiledChain:
    """Passes in compiled code, on a CPU."""

    def __init__(self, initial: Tensor, blocks: Tensor, emission: Tensor) -> None:
        self.initial, self.blocks, self.emission = initial, blocks, emission

    def leaf_margins(self, leaf_scores: Tensor) -> tuple[Tensor, Tensor]:
        """See `ChainBackend`; in the precision of leaf_scores."""
        return compiled_forward_backward(self.initial, self.blocks, leaf_scores)

    def conditionals(self, words: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """See `ChainBackend`. If log Z is nan, float64 cannot represent the conditionals."""
        out = room_for((*words.shape, self.emission.shape[1]), dtype, words.device)
        chain = (self.initial, self.blocks, self._emission_blocks)
        log_z = compiled_conditionals(*chain, words, out)
        unsure = ~log_z.isfinite()
        if dtype != torch.float64 and bool(unsure.any()):
            # A sentence that underflows in float32 may still be possible, so float64 decides.
            exact = torch.empty(int(unsure.sum()), *out.shape[1:], dtype=torch.float64)
            log_z[unsure] = compiled_conditionals(*chain, words[unsure], exact)
            out[unsure] = exact.to(dtype)
        return log_z, out

    def draw(self, num_sentences: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `ChainBackend`; sentence by sentence."""
        return draw_chains(self._search_tables, num_sentences, length, generator)

    @cached_property
    def _search_tables(self) -> ChainTables:
        return ChainTables.of(self.initial, self.blocks, self.emission)

    @cached_property
    def _emission_blocks(self) -> Tensor:
        """The emission as [B, K/B, V/B] if it is block-diagonal like the chain, else as [K, V]."""
        count, (states, words) = len(self.blocks), self.emission.shape
        if count == 1 or words % count:
            return self.emission
        size, share = states // count, words // count
        parts = [self.emission[b * size : (b + 1) * size, b * share : (b + 1) * share] for b in range(count)]
        return torch.stack(parts) if torch.equal(torch.block_diag(*parts), self.emission) else self.emission


class TensorChain:
    """Passes over tensors, on any device."""

    def __init__(self, initial: Tensor, blocks: Tensor, emission: Tensor) -> None:
        self.initial, self.blocks, self.emission = initial, blocks, emission

    def leaf_margins(self, leaf_scores: Tensor) -> tuple[Tensor, Tensor]:
        """See `ChainBackend`; in the precision of leaf_scores."""
        initial, blocks = self.initial.to(leaf_scores.dtype), self.blocks.to(leaf_scores.dtype)
        return forward_backward(initial, blocks, leaf_scores)

    def conditionals(self, words: Tensor, dtype: torch.dtype) -> None:
        """Returns None; see `ChainBackend`."""

    def draw(self, num_sentences: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """See `ChainBackend`; each step for all sentences at once."""
        initial, transition, emission = self._tables
        size = self.blocks.shape[1]
        state = initial.draw(torch.zeros(num_sentences, dtype=torch.long, device=self.initial.device), generator)
        states = [state]
        for _ in range(length - 1):
            state = state // size * size + transition.draw_column(state, generator)
            states.append(state)
        path = torch.stack(states, 1)
        return path, emission.draw_column(path.flatten(), generator).reshape(path.shape)

    @cached_property
    def _tables(self) -> tuple[Categorical, Categorical, Categorical]:
        """The tables of the start, transition and emission. They are summed on the CPU, so all devices draw alike."""
        weights = (self.initial[None], self.blocks.flatten(0, 1), self.emission)
        device = self.initial.device
        initial, transition, emission = (Categorical.from_matrix(table.cpu()).to(device) for table in weights)
        return initial, transition, emission
