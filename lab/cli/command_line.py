"""Reads a command line by the arguments that the command declares."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import InputError, unknown
from ..reading import read_text
from ..unforeseen import OPTION as TRACEBACK
from .arguments import Argument, Arguments, Given, check_numbers

HELP = ("-h", "--help")
VERBOSE, QUIET = ("-v", "--verbose"), ("--quiet",)

ANYWHERE = {
    ", ".join(VERBOSE): "also log what is done and how long it takes",
    ", ".join(QUIET): "say nothing but errors: no bars, no warnings, no hints",
    TRACEBACK: "where an error comes from, for a report to the developers",
}
"""Options of every command, which may stand before or after its name -> help text."""


@dataclass(frozen=True)
class Spoken:
    """The options that control the messages of a command.

    Args:
        traceback: whether to show where an error comes from.
        verbose: whether to say what is done.
        quiet: whether to show only errors.
    """

    traceback: bool = False
    verbose: bool = False
    quiet: bool = False


def split_spoken(arguments: Sequence[str]) -> tuple[Spoken, list[str]]:
    """Separates the options of every command from the rest of a command line.

    Args:
        arguments: the command line. Nothing after -- counts as an option.

    Returns:
        The values of these options, and the rest.

    Raises:
        InputError: for --quiet together with --verbose.
    """
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    options = arguments[:end]
    spoken = Spoken(TRACEBACK in options, _any(VERBOSE, options), _any(QUIET, options))
    if spoken.verbose and spoken.quiet:
        raise InputError("--quiet together with --verbose: expected one of the two; leave one out")
    taken = (*VERBOSE, *QUIET, TRACEBACK)
    return spoken, [each for each in options if each not in taken] + list(arguments[end:])


def asks_for(options: Iterable[str], argv: Sequence[str]) -> bool:
    """Whether a command line has one of these options before any `--`."""
    return _any(options, argv[: argv.index("--")] if "--" in argv else argv)


def _any(options: Iterable[str], argv: Sequence[str]) -> bool:
    return any(option in argv for option in options)


def underscored(argument: str) -> str:
    """Writes the name of an option with underscores: --max-length=8 becomes --max_length=8."""
    name, equals, value = argument.partition("=")
    return name[:2] + name[2:].replace("-", "_") + equals + value if name.startswith("--") else argument


def hyphened(option: str) -> str:
    """An option as written in messages, with hyphens."""
    return option[:2] + option[2:].replace("_", "-")


def check_given(argv: Sequence[str]) -> None:
    """Refuses empty arguments, which result, for example, from an unset shell variable.

    Raises:
        InputError: for an empty argument.
    """
    for before, argument in zip(["", *argv], argv, strict=False):
        name, equals, value = argument.partition("=")
        if argument and not (name.startswith("--") and equals and not value):
            continue
        option = name or (before if before.startswith("--") and "=" not in before else "")
        what = hyphened(option) if option else "an argument"
        raise InputError(f"{what} is empty ({argument or repr('')}), expected a value; give it, or leave it out")


def read_arguments(command: str, declared: Arguments, argv: Sequence[str]) -> Given:
    """Reads the arguments of a command. Does not import the class of its configuration.

    Args:
        command: the command's name.
        declared: its arguments.
        argv: the command line after the name, without the options of every command.

    Returns:
        The values of its own arguments, including defaults, and the texts of its settings.

    Raises:
        InputError: for an unknown option or argument, a missing one, an option without its value, and a value of
            another type.
    """
    try:
        return _Reader(command, declared).read(argv)
    except InputError as error:
        raise InputError(f"{error.said}; see satlab {command} --help", *error.place) from None


class _Reader:
    """Reads the command line of one command."""

    def __init__(self, command: str, declared: Arguments) -> None:
        self.command, self.declared = command, declared
        self.options = {argument.name: argument for argument in declared.own if argument.option}

    def read(self, argv: Sequence[str]) -> Given:
        options, places = self._sorted(argv)
        settings = {name: options.pop(name) for name in options.keys() - self.options.keys()}
        given = Given(command=self.command, settings=settings)
        texts: dict[str, Any] = options | self._in_places(places)
        missing = [each.written for each in self.declared.own if each.required and each.name not in texts]
        if missing:
            raise InputError(f"{', '.join(missing)} missing, expected a value; give it")
        for argument in self.declared.own:
            found = argument.name in texts
            setattr(given, argument.name, _value(argument, texts[argument.name]) if found else argument.default)
        check_numbers(self.command, {name: value for name, value in vars(given).items() if not isinstance(value, bool)})
        return given

    def _sorted(self, argv: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """(name of each option -> its text, which is empty for a flag; the positional arguments in order)."""
        options: dict[str, str] = {}
        places: list[str] = []
        left = iter(argv)
        for argument in left:
            if argument == "--":
                places += left
            elif not argument.startswith("-") or argument == "-":
                places.append(argument)
            else:
                name, text = self._option(argument, left)
                options[name] = text
        return options, places

    def _option(self, argument: str, left: Iterator[str]) -> tuple[str, str]:
        """The name and text of an option. Without `=`, the text is the next argument."""
        name, equals, text = argument.partition("=")
        known = underscored(name).removeprefix("--") if name.startswith("--") else ""
        if known not in self.options and not (self.declared.settings and self.declared.settings.has(known)):
            raise unknown("option", hyphened(name), [hyphened(f"--{option}") for option in self._all_options()])
        if known in self.options and self.options[known].flag:
            if equals:
                raise InputError(f"{hyphened(name)} is '{text}', expected no value; write {hyphened(name)} alone")
            return known, ""
        if not equals:
            text = next(left, "--")
            if text.startswith("--"):
                raise InputError(f"{hyphened(name)} has no value, expected one; give it")
        return known, text

    def _all_options(self) -> list[str]:
        return [*self.options, *sorted(self.declared.settings.names() if self.declared.settings else ())]

    def _in_places(self, places: list[str]) -> dict[str, Any]:
        """name -> text, or texts, of the positional arguments."""
        found: dict[str, Any] = {}
        left = list(places)
        for argument in (each for each in self.declared.own if not each.option):
            if left:
                found[argument.name] = left if argument.many else left[0]
                left = [] if argument.many else left[1:]
        if left:
            raise unknown("argument", left[0], [hyphened(f"--{option}") for option in self._all_options()])
        return found


def _value(argument: Argument, text: str | list[str]) -> Any:
    if argument.flag:
        return True
    if isinstance(text, list):
        return text
    return read_text(argument.name, text, argument.kind)
