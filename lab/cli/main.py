"""The command `satlab`: reads argv, prints results on stdout and messages on stderr, turns errors into one line.

A command is a module of lab/cli/commands; it is imported when it is run, so that help and usage errors come at once.
"""

import ast
import importlib
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from ... import __version__
from ...errors import InputError, unknown
from ..messages import show_warning
from ..reading import plain
from ..unforeseen import OPTION, wants_traceback, without_option
from .arguments import check_given, check_numbers, config_file, underscored
from .exit import ending
from .help import HelpFormatter

DESCRIPTION = "Languages with known truth, models trained until they match it, and what tells those models apart."
TRACEBACK_HELP = "where an error comes from, for a report to the developers; of every command"

FOLDER = Path(__file__).parent / "commands"

ORDER = (
    *("generate", "verify", "floor", "show", "induce", "train", "evaluate", "probe", "flatness", "theorem", "export"),
    *("models", "widen", "study", "plot", "report"),
)
"""Commands in the order in which one works; others follow by name."""


@dataclass
class Command:
    """A command: `description` is its module's docstring, read without importing it."""

    name: str
    description: str

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds the command's arguments to its parser."""
        self._module.add_arguments(parser)

    def run(self, given: Namespace) -> int | None:
        """Does what the command does; its exit status, None for 0."""
        status: int | None = self._module.run(given)
        return status

    @property
    def _module(self) -> Any:
        return importlib.import_module(f".commands.{self.name}", __package__)


class _Commands(Mapping[str, Command]):
    """Every command by its name."""

    def __init__(self) -> None:
        names = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
        names.sort(key=lambda name: ORDER.index(name) if name in ORDER else len(ORDER))
        self.known = {name: Command(name, _docstring_of(name)) for name in names}

    def __getitem__(self, name: str) -> Command:
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)


def _docstring_of(name: str) -> str:
    source = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)) or ""


COMMANDS = _Commands()


class Parser(ArgumentParser):
    """A parser whose every complaint is one line, with the nearest valid name, and whose help writes hyphens."""

    def format_help(self, *arguments: Any, **named: Any) -> str:
        text = super().format_help(*arguments, **named)
        for name in (name for name in self._option_string_actions if "_" in name):
            for shown in (name, name[2:].upper()):
                text = re.sub(rf"(?<!\w){shown}(?!\w)", shown.replace("_", "-"), text)
        return text

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        message = " ".join(message.split())
        missing = re.search(r"required: (\w+)\.(.*)", message)
        if missing and missing[1] in COMMANDS:
            self._missing(missing[1], missing[2].replace(f"{missing[1]}.", "").split(", "))
        raise InputError(f"{self._explain(message)}; see {self.prog} --help")

    def _missing(self, command: str, names: list[str]) -> NoReturn:
        """What a command was not given, as it is to be written."""
        parsers = self._subcommands_action
        options = parsers._name_parser_map[command]._option_string_actions if parsers is not None else {}
        written = [f"--{name.replace('_', '-')}" if f"--{name}" in options else name.upper() for name in names]
        raise InputError(f"{', '.join(written)} missing, expected a value; give it; see satlab {command} --help")

    def _explain(self, message: str) -> str:
        options = [name for name in self._option_string_actions if name.startswith("--")]
        stray = re.search(r"[Uu]nrecognized arguments: (\S+)", message)
        if stray:
            name = stray[1].split("=")[0]
            if name.startswith("-"):
                return str(unknown("option", name.replace("_", "-"), [known.replace("_", "-") for known in options]))
            return str(unknown("argument", name, options))
        key = re.search(
            r"does not accept (?:option|nested key|key) '([^']+)'|[Kk]ey ['\"]([^'\"]+)['\"] is not expected", message
        )
        if key:
            return str(unknown("key", key[1] or key[2], [name.removeprefix("--") for name in options]))
        choice = re.search(r"(?:invalid choice: '?|subcommand[^']*')([\w.-]+)'?.*choose from (.*)", message)
        if choice:
            return str(unknown("command", choice[1], re.findall(r"[\w-]+", choice[2])))
        return plain(message)


def make_parser(config: str | None = None, only: str | None = None) -> Parser:
    """The parser of all commands.

    Args:
        config: where `satlab train` is given a config file: its values are the defaults.
        only: the command that is run; the others then have their descriptions alone, and are not imported.
    """
    parser = Parser(
        allow_abbrev=False,
        formatter_class=HelpFormatter,
        prog="satlab",
        description=DESCRIPTION,
        version=__version__,
    )
    parser.add_argument(OPTION, action="store_true", help=TRACEBACK_HELP)
    parsers = parser.add_subcommands(required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        how: dict[str, Any] = {"allow_abbrev": False, "formatter_class": HelpFormatter}
        sub = Parser(prog=f"satlab {name}", description=command.description, **how)
        if only is None or name == only:
            command.add_arguments(sub)
            if name == "train" and config is not None:
                sub.set_defaults(_training_settings(config))
        parsers.add_subcommand(name, sub, help=command.description.splitlines()[0])
        sub.prog = f"satlab {name}"
        sub.add_argument(OPTION, action="store_true", help=TRACEBACK_HELP)
    return parser


def _training_settings(config: str) -> dict[str, Any]:
    """What a config file sets. Raises InputError, naming the file, where training has no such setting."""
    from ...system.yaml_files import read_yaml
    from ...train import TrainConfig
    from ..reading import from_mapping

    values = read_yaml(Path(config))
    from_mapping(TrainConfig, values, config)
    return values


def run(arguments: Sequence[str]) -> int:
    """Runs one command; its exit status. What goes wrong ends with one line on stderr, and status 2 where input is bad."""
    with_traceback = wants_traceback(arguments)
    argv = [underscored(argument) for argument in without_option(arguments)]
    warnings.showwarning = show_warning
    try:
        check_given(argv)
        asked = next((argument for argument in argv if not argument.startswith("-")), "")
        chosen = _parsed(make_parser(config_file(argv), asked), argv)
        name = chosen.subcommand
        _settle_processes(name)
        check_numbers(name, vars(chosen[name]))
        return int(COMMANDS[name].run(chosen[name]) or 0)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever happens is said in one line
        return ending(error, with_traceback)


def _parsed(parser: Parser, argv: list[str]) -> Namespace:
    """What a command is given. Raises InputError also where the reader of values, YAML's, fails in a way of its own."""
    try:
        given: Namespace = parser.parse_args(argv)
    except (AttributeError, IndexError, KeyError, TypeError, RecursionError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"an argument cannot be read ({said}), expected plain values; see {parser.prog} --help"
        ) from None
    return given


def _settle_processes(name: str) -> None:
    """One thread unless the environment says otherwise. Raises InputError for several processes of what is not training."""
    import torch

    from ...train.parallel.world import World

    if "OMP_NUM_THREADS" not in os.environ:
        # Models and batches of this size lose more by waiting for a second thread than it does for them.
        torch.set_num_threads(1)
    if name != "train" and (size := World.from_environment().size) > 1:
        raise InputError(f"satlab {name} in {size} processes, expected one: torchrun is for satlab train; leave it out")


def main() -> None:
    """The console script: runs one command and ends the process with its status."""
    try:
        status = run(sys.argv[1:])
    except SystemExit as ended:
        status = int(ended.code or 0)
    status = _flushed(status)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # The others may be gone, and nothing here is to wait for them; gloo's threads now and then abort an orderly exit.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _flushed(status: int) -> int:
    """Writes what stdout still holds; the exit status, which is that of the error where this fails and nothing did before."""
    try:
        sys.stdout.flush()
    except OSError as error:
        status = status or ending(error)
        # What cannot be written would be tried again, and complained of, at the interpreter's end.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status
