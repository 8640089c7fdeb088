"""Stores rows of different lengths in one array, with the offset of each row."""

from collections.abc import Sequence

import numpy as np


def offsets(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """The offset of each row, then the total size: [rows + 1] int64."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def joined(rows: Sequence[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    """The concatenated rows."""
    return np.concatenate([np.zeros(0, dtype), *rows]).astype(dtype)
