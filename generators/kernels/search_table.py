"""Tables of weights to draw from in compiled code, in a time that does not grow with their length."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from .jit import compiled

SHARES = 256
"""Equal parts of [0, 1), a power of two: for each it is known where the search for an entry begins."""


@dataclass(frozen=True)
class SearchTable:
    """Rows of weights to draw from: their running sums [rows, n], and for each share j the first entry whose sum exceeds
    j / SHARES of the row's total, [rows, SHARES] (the index search of Chen and Asau 1974)."""

    sums: np.ndarray
    begins: np.ndarray

    @classmethod
    def of(cls, weights: Tensor) -> Self:
        """weights [rows, n], not negative, each row with a positive sum."""
        sums = weights.double().cumsum(-1).numpy()
        shares = np.arange(SHARES) / SHARES
        begins = [np.searchsorted(row, shares * row[-1], side="right") for row in sums]
        return cls(sums, np.array(begins, dtype=np.int32))


@compiled
def find_from(sums: np.ndarray, begins: np.ndarray, share: float) -> int:
    """The first entry whose running sum exceeds share times the total; never one of weight zero. As `find`, but for the way."""
    target = share * sums[-1]
    entry = begins[int(share * SHARES)]
    while entry < len(sums) and sums[entry] <= target:
        entry += 1
    while entry >= len(sums) or (entry > 0 and sums[entry] == sums[entry - 1]):
        entry -= 1
    return entry
