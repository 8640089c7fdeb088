"""The command line before and after it is parsed: how options may be written, and what no command takes."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import InputError
from ..config import at_least

MOST_COUNTED = 10**18
"""Of whatever a command is given a number of: arrays are counted in 64 bits."""


def underscored(argument: str) -> str:
    """Options may be written with hyphens or underscores: --max-length=8 is --max_length=8."""
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def config_file(argv: Sequence[str]) -> str | None:
    """What `satlab train` is given as --config, if anything."""
    if not argv or argv[0] != "train":
        return None
    for here, following in zip(argv, [*argv[1:], ""], strict=True):
        if here == "--config" or here.startswith("--config="):
            return here.partition("=")[2] or following
    return None


def check_given(argv: Sequence[str]) -> None:
    """Raises InputError for an empty argument: no option and no place has an empty value, an unset variable has."""
    for before, argument in zip(["", *argv], argv, strict=False):
        name, equals, value = argument.partition("=")
        if argument and not (name.startswith("--") and equals and not value):
            continue
        option = name or (before if before.startswith("--") and "=" not in before else "")
        what = f"{option[:2]}{option[2:].replace('_', '-')}" if option else "an argument"
        raise InputError(f"{what} is empty ({argument or repr('')}), expected a value; give it, or leave it out")


def at_most(name: str, value: int, most: int) -> None:
    """Raises InputError for a larger number."""
    if value > most:
        shown = str(value) if value < 10**20 else f"a number of {len(str(value))} digits"
        raise InputError(f"{name} is {shown}, expected at most {most}; give a smaller number")


def check_numbers(command: str, given: Mapping[str, Any]) -> None:
    """Raises InputError for a seed below 0, and for a count above what can be counted here; training has limits of its own."""
    for name, value in given.items():
        if isinstance(value, int) and name == "seed":
            at_least(name, value, 0)
        elif isinstance(value, int) and command != "train":
            at_most(name, value, MOST_COUNTED)
