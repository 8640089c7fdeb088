"""Rows of probabilities: checked, and put right where that is only rounding."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from ...errors import InputError

TOLERANCE = 1e-3
"""Rows whose sum is this close to one are renormalised with a warning; any other row is refused."""

ROUNDING = 1e-12
"""Rows this close to one are left as they are, so that writing and reading a language changes no bit of it."""


def check_total(total: float, name: str) -> bool:
    """Whether probabilities with this sum must be renormalised.

    Raises InputError, naming the row, where the sum is further than TOLERANCE from one; warns where it is renormalised.
    """
    if abs(total - 1) <= ROUNDING:
        return False
    if not abs(total - 1) <= TOLERANCE:
        raise InputError(f"{name} sum to {total:.6g}, expected 1 (within {TOLERANCE:g}); correct these probabilities")
    warnings.warn(f"{name} sum to {total:.9g}; renormalised", stacklevel=3)
    return True


def stochastic_rows(matrix: object, name: Callable[[int], str]) -> Tensor:
    """A float64 matrix [R, C] whose rows are probabilities; name(r) says in an error which row it is about.

    Raises InputError where an entry is negative or not finite, or where a row does not sum to one.
    """
    rows = torch.as_tensor(matrix, dtype=torch.float64).clone()
    for r, row in enumerate(rows):
        if not bool(torch.isfinite(row).all()) or bool((row < 0).any()):
            wrong = row[~torch.isfinite(row) | (row < 0)][0].item()
            raise InputError(f"{name(r)} contain {wrong:g}, expected probabilities between 0 and 1; correct the entry")
        total = float(row.sum())
        if check_total(total, name(r)):
            rows[r] = row / total
    return rows
