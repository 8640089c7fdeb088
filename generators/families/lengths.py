"""Distributions of lengths in YAML files."""

from typing import Any

from ...errors import InputError


def length_weights(lengths: dict[Any, Any] | None) -> dict[int, float] | None:
    """Checks the weights of lengths from a YAML file.

    Args:
        lengths: length -> weight, or None.

    Returns:
        The same mapping.

    Raises:
        InputError: for a length that is not an integer, and for a weight that is not a number or at least 1e300.
    """
    for length, weight in (lengths or {}).items():
        if type(length) is not int or type(weight) not in (int, float) or not abs(weight) < 1e300:
            raise InputError(f"lengths: {length!r}: {weight!r}, expected an integer length and its weight; correct it")
    return lengths
