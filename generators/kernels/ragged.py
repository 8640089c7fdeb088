"""Rows of different lengths as one array, and where each row begins in it."""

from collections.abc import Sequence

import numpy as np


def offsets(sizes: Sequence[int] | np.ndarray) -> np.ndarray:
    """Where each row begins, then the total: [rows + 1] int64."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def joined(rows: Sequence[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    """The rows, one after the other."""
    return np.concatenate([np.zeros(0, dtype), *rows]).astype(dtype)
