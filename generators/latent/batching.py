"""Which sentences go through a pass together: those of one length, or several lengths side by side.

Where a group of eight sentences costs what one does, a batch of many lengths that goes length by length wastes most of it.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LEAST_GAIN = 2
"""How many times fewer groups it must be: a chart for all lengths has more symbols a span than one for one length."""


def mixes(lengths: Tensor, together: int) -> bool:
    """Whether sentences of these lengths [n] go side by side, where `together` of them cost what one does."""
    if together == 1:
        return False
    counts = lengths.unique(return_counts=True)[1]
    by_length, mixed = (int((-(-some // together)).sum()) for some in (counts, counts.sum()))
    return by_length >= LEAST_GAIN * max(1, mixed)


def side_by_side(lengths: Tensor, size: Callable[[int], int]) -> Iterator[tuple[Tensor, int]]:
    """(row numbers, the greatest of their lengths), the shortest sentence first; at most size(the longest of all)."""
    longest = max(lengths.tolist(), default=1)
    for rows in lengths.argsort(stable=True).split(size(longest)):
        yield rows, max(lengths[rows].tolist(), default=1)


def slices(n: int, size: int) -> Iterator[slice]:
    """0 .. n - 1 in order, `size` at a time."""
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


def beyond(lengths: Tensor, longest: int) -> Tensor:
    """[n, longest] bool: the positions after a sentence's end."""
    return torch.arange(longest, device=lengths.device) >= lengths[:, None]
