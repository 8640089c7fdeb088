"""Distributions of lengths in YAML files."""

from typing import Any

from ...errors import InputError


def length_weights(lengths: dict[Any, Any] | None) -> dict[int, float] | None:
    """Weights of lengths as a YAML file holds them.

    Args:
        lengths: length -> weight, or None.

    Returns:
        The same mapping.

    Raises:
        InputError: for a length that is no whole number, and for a weight that is no number or 1e300 or more.
    """
    for length, weight in (lengths or {}).items():
        if type(length) is not int or type(weight) not in (int, float) or not abs(weight) < 1e300:
            raise InputError(f"lengths: {length!r}: {weight!r}, expected a whole number: its weight; correct it")
    return lengths
