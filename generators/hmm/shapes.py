"""Checks the shapes of an HMM's tables."""

from typing import Any

import torch
from torch import Tensor

from ...errors import InputError


def checked_shapes(initial: Any, transition: Any, emission: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The tables of a chain of K states as tensors, after checking that their shapes fit together.

    Args:
        initial: [K].
        transition: [K, K], or its B blocks [B, K/B, K/B].
        emission: [K, V].

    Returns:
        (initial [K], blocks [B, K/B, K/B], emission [K, V]), float64.

    Raises:
        InputError: for other shapes; it names the table, its shape, and the expected shape.
    """
    start, blocks, words = (torch.as_tensor(table, dtype=torch.float64) for table in (initial, transition, emission))
    given = list(blocks.shape)
    if start.dim() != 1 or not len(start):
        raise InputError(f"initial has shape {list(start.shape)}, expected [K], one number for each state; correct it")
    states = len(start)
    square = f"[{states}, {states}], as initial has {states} states, or blocks [B, {states}/B, {states}/B]"
    blocks = blocks[None] if blocks.dim() == 2 else blocks
    if blocks.dim() != 3 or blocks.shape[1] != blocks.shape[2] or blocks.shape[0] * blocks.shape[1] != states:
        raise InputError(f"transition has shape {given}, expected {square}; correct initial or transition")
    if words.dim() != 2 or len(words) != states or not words.shape[1]:
        turned = words.dim() == 2 and words.shape[1] == states
        raise InputError(
            f"emission has shape {list(words.shape)}, expected [{states}, V], a row for each of the {states} states "
            f"and a column for each word; {'transpose it' if turned else 'correct it'}"
        )
    return start, blocks, words
