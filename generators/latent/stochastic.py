"""Rows of probabilities: checked, and put right where that is only rounding."""

import warnings
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from ...errors import InputError

TOLERANCE = 1e-3
"""Rows whose sum is this close to one are renormalised with a warning; any other row is refused."""

ROUNDING = 1e-12
"""Rows this close to one are left as they are, so that writing and reading a language changes no bit of it."""

MOST_NAMED = 3
"""Rows that a warning names; the others it counts."""


def _is_off(total: float, name: str) -> bool:
    if abs(total - 1) <= ROUNDING:
        return False
    if not abs(total - 1) <= TOLERANCE:
        shown = as_sum(total, 6, TOLERANCE)
        raise InputError(f"{name} sum to {shown}, expected 1 (within {TOLERANCE:g}); correct these probabilities")
    return True


def as_sum(total: float, digits: int = 9, tolerance: float = ROUNDING) -> str:
    """A sum that misses one by more than the tolerance, in at least so many digits, and as many as show that it does."""
    while digits < 17 and abs(float(f"{total:.{digits}g}") - 1) <= tolerance * (1 + 1e-9):
        digits += 1
    return f"{total:.{digits}g}"


def as_range(totals: Collection[float]) -> str:
    """The least and the greatest of sums that miss one, in the digits of `as_sum`; one number where these agree."""
    low, high = as_sum(min(totals)), as_sum(max(totals))
    return low if low == high else f"{low} .. {high}"


def stochastic_rows(matrix: object, name: Callable[[int], str], rounded: list[str]) -> Tensor:
    """A float64 matrix [R, C] whose rows are probabilities; name(r) says in an error which row it is about.

    rounded: where rows are renormalised, what a warning is to say of them is added.
    Raises InputError where an entry is negative or not finite, or where a row does not sum to one.
    """
    rows = torch.as_tensor(matrix, dtype=torch.float64).clone()
    off: dict[int, float] = {}
    for r, row in enumerate(rows):
        if not bool(torch.isfinite(row).all()) or bool((row < 0).any()):
            wrong = row[~torch.isfinite(row) | (row < 0)][0].item()
            raise InputError(f"{name(r)} contain {wrong:g}, expected probabilities between 0 and 1; correct the entry")
        total = float(row.sum())
        if _is_off(total, name(r)):
            rows[r] = row / total
            off[r] = total
    if off:
        rounded.append(_of_rows(off, name))
    return rows


def _of_rows(off: dict[int, float], name: Callable[[int], str]) -> str:
    """Rows and their sums: the first by name, the others counted."""
    first, *others = off
    if not others:
        return f"{name(first)} sum to {as_sum(off[first])}"
    named = ", ".join(str(r + 1) for r in others[: MOST_NAMED - 1])
    beyond = len(others) - (MOST_NAMED - 1)
    tail = f"{named} and {beyond:,} more" if beyond > 0 else named
    return f"{name(first)}, {tail} ({len(off):,} rows) sum to {as_range(off.values())}"


def warn_of_rounding(rounded: list[str]) -> None:
    """One warning of all that `stochastic_rows` found; none where it found nothing."""
    if rounded:
        warnings.warn(f"{'; '.join(rounded)}; renormalised", stacklevel=3)
