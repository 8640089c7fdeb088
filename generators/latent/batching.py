"""Decides which sentences share a pass: sentences of one length, or sentences of several lengths.

If a group of eight sentences costs as much as one sentence, passes over one length at a time waste most of the work.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

LEAST_GAIN = 2
"""Lengths are mixed only if that needs this many times fewer groups.

Mixing has a price: a chart for all lengths has more symbols in each span than a chart for one length.
"""


def mixes(lengths: Tensor, together: int) -> bool:
    """Whether sentences of these lengths [n] should share passes, if `together` sentences cost as much as one."""
    if together == 1:
        return False
    counts = lengths.unique(return_counts=True)[1]
    by_length, mixed = (int((-(-some // together)).sum()) for some in (counts, counts.sum()))
    return by_length >= LEAST_GAIN * max(1, mixed)


def side_by_side(lengths: Tensor, size: Callable[[int], int]) -> Iterator[tuple[Tensor, int]]:
    """Yields (indices of sentences, their greatest length), short sentences first, at most size(longest) at a time."""
    longest = max(lengths.tolist(), default=1)
    for rows in lengths.argsort(stable=True).split(size(longest)):
        yield rows, max(lengths[rows].tolist(), default=1)


def slices(n: int, size: int) -> Iterator[slice]:
    """Yields slices of `size` that cover 0 .. n - 1; the last may be shorter."""
    for begin in range(0, n, size):
        yield slice(begin, min(begin + size, n))


def beyond(lengths: Tensor, longest: int) -> Tensor:
    """[n, longest] bool: the positions after a sentence's end."""
    return torch.arange(longest, device=lengths.device) >= lengths[:, None]
