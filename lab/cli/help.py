"""Writes the help: for each option its meaning, a placeholder that shows its type, and its default, if it has one."""

import re
from argparse import Action, _StoreTrueAction
from collections.abc import Mapping
from typing import Any, cast

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from typing_extensions import override

from ... import __version__
from ...settings import docstring
from .arguments import Argument, Arguments
from .command_line import ANYWHERE

DESCRIPTION = (
    "Languages with known truth, models trained until they match it, and measurements that tell those models apart."
)

PLACEHOLDERS = {"int": "N", "float": "X"}
"""Type of a number -> its placeholder."""


class HelpFormatter(DefaultHelpFormatter):
    """Help for readers: it shows no names of Python types and no null, and shows how a list is written.

    --steps N takes an integer, --lr X any number, --radii [X,...] a list of numbers. Other placeholders are the
    option's name.
    """

    def _get_help_string(self, action: Action) -> str:
        if action.dest in ("help", "version"):
            return str(super()._get_help_string(action))
        said = ["required"] if action.required else []
        if action.default is not None and not action.required and not isinstance(action, _StoreTrueAction):
            shown = list(action.default) if isinstance(action.default, tuple) else action.default
            said += [] if shown == [] else [f"default: {str(shown).lower() if isinstance(shown, bool) else shown}"]
        text = (action.help or "").removesuffix(".")
        return text + (f" ({', '.join(said)})" if said and action.option_strings else "")

    def _get_default_metavar_for_optional(self, action: Action) -> str:
        return PLACEHOLDERS.get(self._kind(action), super()._get_default_metavar_for_optional(action))

    def _kind(self, action: Action) -> str:
        """The type of an option's value other than null."""
        return (self._get_type_str(action) or "").removesuffix(" | null")

    def _format_args(self, action: Action, default_metavar: str) -> str:
        kind = re.fullmatch(r"(list|tuple)\[(\w+).*\]", self._kind(action))
        if kind is None or not action.option_strings:
            return str(super()._format_args(action, default_metavar))
        item = PLACEHOLDERS.get(kind[2], "ITEM")
        return f"[{item},{'...' if kind[1] == 'list' else item}]"

    def _format_action_invocation(self, action: Action) -> str:
        given: Any = action.option_strings
        action.option_strings = [name for name in given if not name.endswith("+")]
        try:
            return str(super()._format_action_invocation(action))
        finally:
            action.option_strings = given


class Parser(ArgumentParser):
    """A parser whose help writes options with hyphens. It only writes help; `read_arguments` reads command lines."""

    @override
    def format_help(self, *arguments: Any, **named: Any) -> str:
        text = super().format_help(*arguments, **named)
        for name in (name for name in self._option_string_actions if "_" in name):
            for shown in (name, name[2:].upper()):
                text = re.sub(rf"(?<!\w){shown}(?!\w)", shown.replace("_", "-"), text)
        return text

    def of(self, command: str) -> "Parser":
        """The parser of one command."""
        parsers: Any = self._subcommands_action
        return cast(Parser, parsers._name_parser_map[command])


def parser_of(described: Mapping[str, str], declared: Mapping[str, Arguments]) -> Parser:
    """The parser of all commands.

    Args:
        described: a command's name -> its description.
        declared: a command's name -> its arguments. Only the help of these commands is complete.

    Returns:
        The parser, whose help is that of `satlab`.
    """
    how: dict[str, Any] = {"allow_abbrev": False, "formatter_class": HelpFormatter}
    parser = Parser(prog="satlab", description=DESCRIPTION, version=__version__, **how)
    _add_spoken(parser)
    parsers = parser.add_subcommands(required=True, metavar="COMMAND")
    for name, description in described.items():
        sub = Parser(prog=f"satlab {name}", description=description, **how)
        if name in declared:
            _add(sub, declared[name])
        parsers.add_subcommand(name, sub, help=description.splitlines()[0])
        sub.prog = f"satlab {name}"
        _add_spoken(sub)
    return parser


def _add(parser: Parser, declared: Arguments) -> None:
    for argument in declared.own:
        parser.add_argument(f"--{argument.name}" if argument.option else argument.name, **_how(argument))
    if declared.settings is not None:
        kind = declared.settings.load()
        kind.__doc__ = docstring(kind)
        parser.add_class_arguments(kind)


def _how(argument: Argument) -> dict[str, Any]:
    """The keywords with which an argument is added to the parser."""
    if argument.flag:
        return {"action": "store_true", "help": argument.said}
    how = {"type": argument.kind, "default": argument.default, "help": argument.said}
    if argument.option:
        return how | {"required": argument.required}
    if argument.many:
        return {"type": argument.kind, "nargs": "+", "help": argument.said}
    return how | {"nargs": "?"} if not argument.required else {"type": argument.kind, "help": argument.said}


def _add_spoken(parser: Parser) -> None:
    for options, said in ANYWHERE.items():
        parser.add_argument(*options.split(", "), action="store_true", help=said)
