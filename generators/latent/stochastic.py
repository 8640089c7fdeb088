"""Checks rows of probabilities, and renormalises rows whose sums differ from one only by rounding."""

import warnings
from collections.abc import Callable, Collection

import torch
from torch import Tensor

from ...errors import InputError

TOLERANCE = 1e-3
"""Rows whose sum is this close to one are renormalised with a warning; other rows are refused."""

ROUNDING = 1e-12
"""Rows whose sum is this close to one are not changed, so a language that is saved and loaded keeps its bits."""

MOST_NAMED = 3
"""The number of rows that a warning names. It counts the others."""


def _is_off(total: float, name: str) -> bool:
    """Whether the sum of the row that `name` describes needs renormalising."""
    if abs(total - 1) <= ROUNDING:
        return False
    if not abs(total - 1) <= TOLERANCE:
        shown = as_sum(total, 6, TOLERANCE)
        raise InputError(f"{name} sum to {shown}, expected 1 (within {TOLERANCE:g}); correct these probabilities")
    return True


def as_sum(total: float, digits: int = 9, tolerance: float = ROUNDING) -> str:
    """A sum as text, with at least `digits` digits and enough digits to show that it is not 1 within the tolerance."""
    while digits < 17 and abs(float(f"{total:.{digits}g}") - 1) <= tolerance * (1 + 1e-9):
        digits += 1
    return f"{total:.{digits}g}"


def as_range(totals: Collection[float]) -> str:
    """The smallest and the largest of several sums, written by `as_sum`; one number if both texts are equal."""
    low, high = as_sum(min(totals)), as_sum(max(totals))
    return low if low == high else f"{low} .. {high}"


def stochastic_rows(matrix: object, name: Callable[[int], str], rounded: list[str]) -> Tensor:
    """A matrix whose rows are probability distributions. Rows with slightly wrong sums are renormalised.

    Args:
        matrix: [R, C].
        name: a function from r to the name of row r in messages.
        rounded: a list to which a description of the renormalised rows is appended, for `warn_of_rounding`.

    Returns:
        [R, C] float64.

    Raises:
        InputError: for an entry that is negative or not finite, and for a row that does not sum to one.
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
    """Renormalised rows (number -> sum) in words: the first by name, further ones by number, the rest counted."""
    first, *others = off
    if not others:
        return f"{name(first)} sum to {as_sum(off[first])}"
    named = ", ".join(str(r + 1) for r in others[: MOST_NAMED - 1])
    beyond = len(others) - (MOST_NAMED - 1)
    tail = f"{named} and {beyond:,} more" if beyond > 0 else named
    return f"{name(first)}, {tail} ({len(off):,} rows) sum to {as_range(off.values())}"


def warn_of_rounding(rounded: list[str]) -> None:
    """Warns once about all rows that `stochastic_rows` renormalised, if any."""
    if rounded:
        warnings.warn(f"{'; '.join(rounded)}; renormalised", stacklevel=3)
