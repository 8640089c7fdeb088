"""The distribution of lengths that a YAML file may ask for."""

from ...errors import InputError


def length_weights(lengths: dict | None) -> dict[int, float] | None:
    """length -> weight as YAML holds it. Raises InputError for anything but whole numbers with weights below 1e300."""
    for length, weight in (lengths or {}).items():
        if type(length) is not int or type(weight) not in (int, float) or not abs(weight) < 1e300:
            raise InputError(f"lengths: {length!r}: {weight!r}, expected a whole number: its weight; correct it")
    return lengths
