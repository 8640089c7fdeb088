"""Draws from many categorical distributions at once, by inverting their concatenated cumulative sums."""

import torch
from torch import Tensor


class Categorical:
    """R categorical distributions over supports of different sizes, stored one after another.

    A draw takes one uniform number and one binary search, so n draws cost O(n log E) on any device, without a Python
    loop. An entry of weight zero is never drawn.

    Args:
        weights: [E], nonnegative; they need not be normalised.
        offsets: [R + 1]; row r has the entries offsets[r] .. offsets[r + 1] - 1.
    """

    def __init__(self, weights: Tensor, offsets: Tensor) -> None:
        sizes = offsets.diff()
        row = torch.repeat_interleave(torch.arange(len(sizes), device=weights.device), sizes)
        totals = torch.zeros(len(sizes), dtype=weights.dtype, device=weights.device).index_add_(0, row, weights)
        self.cumulative = (weights / totals[row]).nan_to_num().cumsum(0)
        self.base = torch.cat([self.cumulative.new_zeros(1), self.cumulative])[offsets]
        self.first = offsets[:-1]
        position = torch.arange(len(weights), device=weights.device)
        self.last = torch.full_like(self.first, -1).scatter_reduce_(
            0, row, torch.where(weights > 0, position, torch.full_like(position, -1)), "amax"
        )

    @classmethod
    def from_matrix(cls, weights: Tensor) -> "Categorical":
        """The distributions given by the rows of a matrix [R, C]. `draw_column` then draws columns."""
        rows, columns = weights.shape
        return cls(weights.flatten(), torch.arange(rows + 1, device=weights.device) * columns)

    def draw(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Draws an entry from each distribution in `rows` [n]. Returns indices [n] into the concatenated weights."""
        uniform = torch.rand(len(rows), generator=generator, dtype=torch.float64, device=self.cumulative.device)
        low = self.base[rows]
        target = low + uniform * (self.base[rows + 1] - low)
        entry = torch.searchsorted(self.cumulative, target, right=True)
        return torch.minimum(entry, self.last[rows])

    def draw_column(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Draws like `draw`, but returns indices [n] within the row: the columns of `from_matrix`."""
        return self.draw(rows, generator) - self.first[rows]

    def to(self, device: torch.device | str) -> "Categorical":
        """The same distributions on another device."""
        moved = object.__new__(Categorical)
        moved.__dict__.update({name: tensor.to(device) for name, tensor in self.__dict__.items()})
        return moved
