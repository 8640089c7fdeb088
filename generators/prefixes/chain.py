"""Prefix tasks of an HMM: its hidden state now or later, and its block (the memory slot, for a memory HMM).

P(z_t = i | x_1 .. x_t) is the filter, and P(z_(t + k) | x_1 .. x_t) = filter_t A^k.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, at_least
from ..hmm.forward_backward import forward
from ..hmm.language import HMM
from .task import PrefixTask, PrefixTaskKind, prefix_tasks


def states_ahead(language: HMM, tokens: Tensor, lengths: Tensor | None, ahead: int) -> Tensor:
    """P(z_(t + k) = i | x_1 .. x_t) for t = 0 .. T.

    Args:
        language: the HMM.
        tokens: prefixes of sentences [n, T].
        lengths: [n], or None.
        ahead: k, at least 0.

    Returns:
        [n, T + 1, K] float64; 0 if there is no position t + k, and beyond the end of a prefix.

    Raises:
        InputError: as `Language.next_word`.
    """
    tokens, lengths = language.checked_beginnings(tokens, lengths)
    n, longest = tokens.shape
    later = torch.linalg.matrix_power(language.transition, max(0, ahead - 1))
    out = torch.zeros(n, longest + 1, language.num_states, dtype=torch.float64, device=language.device)
    if ahead > 0:
        out[:, 0] = language.initial @ later
    if longest:
        for rows in torch.arange(n, device=language.device).split(language.chunk_size(longest)):
            unread = torch.arange(longest, device=language.device) >= lengths[rows, None]
            scores = language.leaf_scores(tokens[rows], unread)
            log_z, predictions = forward(language.initial, language.blocks, scores)
            language.check_possible(log_z, rows)
            for t, prediction in enumerate(predictions):
                joint = prediction.permute(1, 0, 2).flatten(1) * scores[:, t]
                state = joint / joint.sum(1, keepdim=True)
                out[rows, t + 1] = state if ahead == 0 else state @ language.transition @ later
    read = torch.arange(longest + 1, device=language.device)
    known = (read <= lengths[:, None]) & (read + ahead >= 1) & (read + ahead <= language.max_length)
    return out * known[..., None]


class StateAhead(PrefixTask):
    """The hidden state k positions after the last word read."""

    def __init__(self, name: str, language: HMM, ahead: int) -> None:
        self.name, self.language, self.ahead = name, language, ahead
        self.classes = tuple(str(z + 1) for z in range(language.num_states))

    @override
    def posteriors(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        return states_ahead(self.language, tokens, lengths, self.ahead)


@prefix_tasks.register("state")
@dataclass(frozen=True)
class StatesAhead(PrefixTaskKind[HMM]):
    """The hidden state of an HMM at the last word read, or some positions later.

    Args:
        ahead: positions after the last word; 0 is the state now, 1 that of the next word.
    """

    ahead: int = 1

    needs = HMM

    def __post_init__(self) -> None:
        at_least("ahead", self.ahead, 0)

    @override
    def tasks(self, language: HMM) -> Iterator[PrefixTask]:
        if self.ahead > language.max_length:
            raise InputError(f"ahead is {self.ahead}, expected at most {language.max_length}; give a smaller number")
        yield StateAhead(self.name, language, self.ahead)


class BlockSoFar(PrefixTask):
    """The block of a block-diagonal chain in which the sentence runs, such as the slot of a memory HMM."""

    def __init__(self, name: str, language: HMM) -> None:
        self.name, self.language = name, language
        self.classes = tuple(str(block + 1) for block in range(len(language.blocks)))

    @override
    def posteriors(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        now = states_ahead(self.language, tokens, lengths, 0)
        if now.shape[1]:
            # Before the first word, it is the block of the initial state.
            now[:, 0] = self.language.initial
        blocks: Tensor = now.reshape(*now.shape[:2], len(self.classes), -1).sum(3)
        return blocks


@prefix_tasks.register("block")
@dataclass(frozen=True)
class BlocksSoFar(PrefixTaskKind[HMM]):
    """The block of a block-diagonal chain, which a sentence never leaves: the slot of a memory HMM."""

    needs = HMM

    @override
    def tasks(self, language: HMM) -> Iterator[PrefixTask]:
        if len(language.blocks) > 1:
            yield BlockSoFar(self.name, language)
