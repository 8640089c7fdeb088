"""Enumerates all prefixes of a small language, with their probabilities."""

import torch
from torch import Tensor

from ..language import Language
from ..sentences import Batch


def all_prefixes(language: Language, most: int) -> tuple[Batch, Tensor] | None:
    """The prefixes of all sentences, including whole sentences, from the shortest to the longest.

    In next-word prediction, the prefix s is the context of a prediction with probability
    P(a sentence begins with s) / E(T + 1).

    Args:
        language: any language.
        most: the largest number of prefixes.

    Returns:
        (the prefixes as a batch of masking "next", with meaningless targets; the probability [m] of each prefix as a
        context). None if there are more than `most` prefixes.
    """
    first = torch.zeros(1, 1, dtype=torch.long, device=language.device)
    # `next_word` refuses empty rows, so the distribution after the empty prefix comes from a row with one word.
    first[0, 0] = language.sample(1, torch.Generator(device=language.device).manual_seed(0), latents=False).tokens[0, 0]
    follows = language.next_word(first)[:, 0, :-1]
    levels, reaches, total = [], [torch.ones(1, dtype=torch.float64, device=language.device)], 1
    beginnings = first[:, :0]
    while True:
        rows, words = (follows > 0).nonzero(as_tuple=True)
        if not len(rows):
            break
        beginnings, reach = torch.cat([beginnings[rows], words[:, None]], 1), follows[rows, words]
        total += len(rows)
        if total > most:
            return None
        levels.append(beginnings)
        reaches.append(reach)
        if beginnings.shape[1] == language.max_length:
            break
        follows = language.next_word(beginnings)[:, -1, :-1] * reach[:, None]
    longest = levels[-1].shape[1]
    tokens = torch.cat(
        [torch.nn.functional.pad(level, (0, longest - level.shape[1]), value=language.pad_id) for level in levels]
    )
    lengths = torch.cat([torch.full((len(level),), level.shape[1], device=language.device) for level in levels])
    inputs = torch.nn.functional.pad(tokens, (1, 0), value=language.cls_id)
    own = torch.arange(len(tokens), device=language.device)
    rows = torch.cat([own[:1], own])
    positions = torch.cat([0 * lengths[:1], lengths])
    weights = torch.cat(reaches)
    return Batch(inputs, rows, positions, torch.zeros_like(rows)), weights / weights.sum()
