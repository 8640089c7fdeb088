"""Tables of weights that compiled code draws from, in a time that does not grow with their length."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from torch import Tensor

from .jit import compiled

SHARES = 256
"""Into how many equal parts [0, 1) is cut; for each, the table says where the search begins. A power of two."""


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
        """The table of weights [rows, n]: none is negative, and each row has a positive sum."""
        sums = weights.double().cumsum(-1).numpy()
        shares = np.arange(SHARES) / SHARES
        begins = [np.searchsorted(row, shares * row[-1], side="right") for row in sums]
        return cls(sums, np.array(begins, dtype=np.int32))


@compiled
def find_from(sums: np.ndarray, begins: np.ndarray, share: float) -> int:
    """The entry that `find` gives, the first whose running sum exceeds share * total, from the table's hint on."""
    target = share * sums[-1]
    entry: int = begins[int(share * SHARES)]
    while entry < len(sums) and sums[entry] <= target:
        entry += 1
    while entry >= len(sums) or (entry > 0 and sums[entry] == sums[entry - 1]):
        entry -= 1
    return entry
