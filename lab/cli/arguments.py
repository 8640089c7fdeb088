"""The arguments of commands: their own, and the settings of a configuration.

A command declares both without importing what it needs to run, so that usage errors are reported at once. The names of
a configuration's settings are read from its source file. Its class is imported only when the command runs or shows
help.
"""

import importlib
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import InputError, at_least
from ..declared import has_plugins
from ..reading import field_types, from_mapping, read_text
from .settings_source import setting_names

if TYPE_CHECKING:
    from ..runs.run import Run

LANGUAGE_HELP = "a preset's name, a file (.pcfg in NLTK's notation or p lhs -> rhs, .npz, .yaml) or a corpus directory"
LENGTH_HELP = "longest sentence of a grammar, or length of an HMM's; replaces the language's own"
OUT_HELP = "directory to write; an unfinished one is continued"

MOST_SENTENCES = 10**10
"""The most sentences for a mean. The fastest language takes an hour for them, which gives six digits."""

MOST_COUNTED = 10**18
"""The largest count that a command accepts, because arrays are indexed by 64 bits."""

T = TypeVar("T")


class Given(Namespace):
    """The values given to a command, with an attribute for each of its own arguments.

    Attributes:
        command: the command's name.
        settings: name of a configuration's setting -> its text, for the settings that are given.
    """

    command: str
    settings: dict[str, str]


@dataclass(frozen=True)
class Argument:
    """An argument of a command.

    Args:
        name: its name, with underscores and without leading hyphens.
        kind: the type of its value.
        help: its help text, or a function that returns it, for a text that takes time to make.
        default: its value if it is not given.
        required: whether it must be given.
        option: whether it is written --name VALUE; otherwise it is positional.
        flag: whether it is an option without a value, false unless given.
        many: whether it takes one or more positional values, as a list.
    """

    name: str
    kind: Any
    help: str | Callable[[], str]
    default: Any = None
    required: bool = False
    option: bool = True
    flag: bool = False
    many: bool = False

    @property
    def said(self) -> str:
        """Its help text."""
        return self.help if isinstance(self.help, str) else self.help()

    @property
    def written(self) -> str:
        """Its name as written on the command line and in messages."""
        return f"--{self.name.replace('_', '-')}" if self.option else self.name.upper()


@dataclass(frozen=True)
class Settings:
    """A configuration whose fields are options of a command.

    Args:
        module: the module of its class, within satlab.
        name: the class's name.
        entries: the package within satlab whose registered classes add their settings to it; None for none.
    """

    module: str
    name: str
    entries: str | None = None

    def load(self) -> type:
        """The class. Importing it may take seconds."""
        kind: type = getattr(importlib.import_module(f"satlab.{self.module}"), self.name)
        return kind

    def names(self) -> frozenset[str]:
        """The names of the settings, read from the source file if possible, because that is fast."""
        found = setting_names(self.module, self.name, self.entries)
        return frozenset(field_types(self.load())) if found is None else found

    def has(self, name: str) -> bool:
        """Whether this is a setting. Imports the class only if another installed package might have added it."""
        if name in self.names():
            return True
        return self.entries is not None and has_plugins() and name in field_types(self.load())


@dataclass
class Arguments:
    """All arguments that a command declares: its own, in order, and its configuration, if it has one."""

    own: list[Argument] = field(default_factory=list)
    settings: Settings | None = None

    def add_argument(self, name: str, *, type: Any = str, **more: Any) -> None:
        """Declares an argument: an option if the name begins with hyphens, otherwise a positional argument.

        Args:
            name: its name, such as "language" or "--max_length".
            type: the type of its value.
            **more: the other fields of `Argument`.
        """
        option = name.startswith("--")
        required = more.pop("required", not option and "default" not in more)
        self.own.append(Argument(name.removeprefix("--"), type, required=required, option=option, **more))

    def add_flag(self, name: str, *, help: str) -> None:
        """Declares an option without a value, which is false unless given."""
        self.add_argument(name, type=bool, help=help, default=False, flag=True)

    def add_settings(self, module: str, name: str, entries: str | None = None) -> None:
        """Declares an option for each field of a configuration; see `Settings`."""
        self.settings = Settings(module, name, entries)


def add_language(arguments: Arguments, more: str = "") -> None:
    """Declares LANGUAGE and --max-length."""
    arguments.add_argument("language", help=LANGUAGE_HELP + more)
    arguments.add_argument("--max_length", type=int | None, help=LENGTH_HELP)


def add_run(arguments: Arguments) -> None:
    """Declares RUN, --step and --device."""
    arguments.add_argument("run", help="directory made by satlab train")
    arguments.add_argument("--step", type=int | None, help="one checkpoint alone; all unless given")
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")


def settings_of(
    kind: type[T],
    given: Given,
    file: str | None = None,
    complete: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> T:
    """Makes the configuration from the options that `Arguments.add_settings` declared.

    Args:
        kind: its class.
        given: the values given to the command.
        file: a YAML file with values for settings that the command line does not give.
        complete: adds values for settings that neither gives.

    Returns:
        The configuration.

    Raises:
        InputError: for a value of another type or one that the configuration refuses, and for an invalid file.
    """
    types, values = field_types(kind), {}
    if file is not None:
        from ...system.yaml_files import read_yaml

        values = read_yaml(Path(file))
        from_mapping(kind, values, file)
    texts = given.settings.items()
    values |= {name: read_text(name, text, types[name]) for name, text in texts}
    check_numbers(given.command, values)
    return from_mapping(kind, values if complete is None else complete(values))


def opened_run(given: Given) -> "Run":
    """Loads the run given to a command, on the given device.

    Args:
        given: the values of the arguments that `add_run` declared.

    Returns:
        The run.

    Raises:
        InputError: if there is no run, or no such device.
    """
    from ...train.parallel.world import World
    from ..runs.run import load_run

    return load_run(Path(given.run)).on(World().device(given.device))


def at_most(name: str, value: int, most: int) -> None:
    """Checks an upper bound.

    Raises:
        InputError: for a larger number.
    """
    if value > most:
        shown = str(value) if value < 10**20 else f"a number of {len(str(value))} digits"
        raise InputError(f"{name} is {shown}, expected at most {most}; give a smaller number")


def check_numbers(command: str, given: Mapping[str, Any]) -> None:
    """Checks seeds and counts. Training and the length of a language have their own upper limits, checked elsewhere.

    Raises:
        InputError: for a seed below 0, and for a count above MOST_COUNTED.
    """
    for name, value in given.items():
        if isinstance(value, int) and name == "seed":
            at_least(name, value, 0)
        elif isinstance(value, int) and command != "train" and not (name == "max_length" and given.get("language")):
            at_most(name, value, MOST_COUNTED)
