"""Arguments that commands share, how options may be written, and what no command takes."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from jsonargparse import ArgumentParser, Namespace

from ...errors import InputError, at_least
from ...settings import docstring
from ..reading import from_mapping

if TYPE_CHECKING:
    from ..runs.run import Run

LANGUAGE_HELP = "a preset's name, a file (.pcfg in NLTK's notation or p lhs -> rhs, .npz, .yaml) or a corpus directory"
LENGTH_HELP = "longest sentence of a grammar, or length of an HMM's; replaces what the language says"
OUT_HELP = "directory to write; an unfinished one is gone on with"

MOST_SENTENCES = 10**10
"""Sentences that a mean is taken over: the fastest language takes an hour for them, and has six digits then."""

T = TypeVar("T")

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
    """Raises InputError for a seed below 0, and for a count that 64 bits cannot hold.

    Training has limits of its own, and so has the length of a language's sentences: what checks them names them.
    """
    for name, value in given.items():
        if isinstance(value, int) and name == "seed":
            at_least(name, value, 0)
        elif isinstance(value, int) and command != "train" and not (name == "max_length" and given.get("language")):
            at_most(name, value, MOST_COUNTED)


def add_language(parser: ArgumentParser, more: str = "") -> None:
    """LANGUAGE and --max-length."""
    parser.add_argument("language", type=str, help=LANGUAGE_HELP + more)
    parser.add_argument("--max_length", type=int | None, default=None, help=LENGTH_HELP)


def add_run(parser: ArgumentParser) -> None:
    """RUN, --step and --device."""
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--step", type=int | None, default=None, help="one checkpoint alone; all unless given")
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")


def add_settings(parser: ArgumentParser, kind: type) -> None:
    """An option for each field of a configuration; its docstring's Args are their help."""
    kind.__doc__ = docstring(kind)
    parser.add_class_arguments(kind)


def settings_of(kind: type[T], given: Namespace) -> T:
    """The configuration from the options that `add_settings` added. Raises InputError as it does."""
    return from_mapping(kind, {f.name: given[f.name] for f in fields(kind)}, "")  # type: ignore[arg-type]


def opened_run(given: Namespace) -> "Run":
    """The run that a command is given, on its device. Raises InputError where there is none."""
    from ...train.parallel.world import World
    from ..runs.run import load_run

    return load_run(Path(given.run)).on(World().device(given.device))
