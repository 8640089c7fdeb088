"""Tables for drawing from weights in compiled code: a draw from n weights takes about 1 + n / SHARES steps."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from .jit import compiled

SHARES = 256
"""The number of equal parts of [0, 1). For each, the table says where the search begins. A power of two."""


@dataclass(frozen=True)
class SearchTable:
    """Rows of weights to draw from (the index search of Chen and Asau 1974).

    Args:
        sums: the running sums of each row, [rows, n].
        begins: for each share j, the first entry whose running sum exceeds j / SHARES of the total, [rows, SHARES].
    """

    sums: np.ndarray
    begins: np.ndarray

    @classmethod
    def of(cls, weights: Tensor) -> Self:
        """The table of nonnegative weights [rows, n]. Each row must have a positive sum."""
        sums = weights.double().cumsum(-1).numpy()
        shares = np.arange(SHARES) / SHARES
        begins = [np.searchsorted(row, shares * row[-1], side="right") for row in sums]
        return cls(sums, np.array(begins, dtype=np.int32))


@compiled
def find_from(sums: np.ndarray, begins: np.ndarray, share: float) -> int:
    """The entry that `find` returns: the first whose running sum exceeds share * total. Starts at the table's hint."""
    target = share * sums[-1]
    entry: int = begins[int(share * SHARES)]
    while entry < len(sums) and sums[entry] <= target:
        entry += 1
    while entry >= len(sums) or (entry > 0 and sums[entry] == sums[entry - 1]):
        entry -= 1
    return entry
