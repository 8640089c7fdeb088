"""The entry point of `satlab`: prints results on stdout and messages on stderr, and turns each error into one line.

A command is a module in lab/cli/commands. It imports what it needs only when it runs, so that usage errors appear at
once.
"""

import ast
import importlib
import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ... import __version__
from ...errors import InputError, unknown
from ..messages import listen
from ..unforeseen import wants_traceback
from .arguments import Arguments, Given
from .command_line import HELP, Spoken, asks_for, check_given, hyphened, read_arguments, split_spoken
from .environment import one_thread
from .exit import EndedError, ending

if TYPE_CHECKING:
    from .help import Parser

FOLDER = Path(__file__).parent / "commands"

ORDER = (
    *("generate", "verify", "floor", "show", "induce", "train", "evaluate", "probe", "flatness", "theorem", "export"),
    *("models", "widen", "average", "conditions", "oracle", "features", "study", "table", "plot", "report"),
)
"""Commands in the order of a typical workflow. Others follow by name."""

logger = logging.getLogger(__name__)


@dataclass
class Command:
    """A command: `description` is its module's docstring, read without importing it."""

    name: str
    description: str

    def arguments(self) -> Arguments:
        """The arguments of the command."""
        arguments = Arguments()
        self._module.add_arguments(arguments)
        return arguments

    def run(self, given: Given) -> int | None:
        """Runs the command. Returns its exit status; None for 0."""
        status: int | None = self._module.run(given)
        return status

    @property
    def needs_torch(self) -> bool:
        """Whether the command always needs torch, which takes seconds to load."""
        return bool(getattr(self._module, "NEEDS_TORCH", True))

    @property
    def _module(self) -> Any:
        return importlib.import_module(f".commands.{self.name}", __package__)


class _Commands(Mapping[str, Command]):
    """All commands: name -> command."""

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


def make_parser(only: str | None = None) -> "Parser":
    """The parser that writes the help.

    Args:
        only: the command whose help is requested. The others have only their descriptions, and are not imported.

    Returns:
        The parser of all commands.
    """
    from .help import parser_of

    described = {name: command.description for name, command in COMMANDS.items()}
    declared = {name: command.arguments() for name, command in COMMANDS.items() if only is None or name == only}
    return parser_of(described, declared)


def run(arguments: Sequence[str]) -> int:
    """Runs one command. An error ends it with one line on stderr.

    Args:
        arguments: the command line.

    Returns:
        The exit status; 2 for bad input.

    Raises:
        SystemExit: with status 0, after help or the version is shown.
    """
    spoken = Spoken()
    try:
        spoken, argv = split_spoken(arguments)
        listen(spoken.verbose, spoken.quiet)
        check_given(argv)
        name, rest = _command_in(argv)
        if name is None or asks_for(HELP, rest):
            _show_help(name)
        return _done(name, rest)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever happens is said in one line
        return ending(error, spoken.traceback)


def _done(name: str, rest: list[str]) -> int:
    """Reads the arguments of a command and runs it.

    Returns:
        The exit status.

    Raises:
        EndedError: if a plug-in or a library tried to end the process.
    """
    try:
        given = read_arguments(name, COMMANDS[name].arguments(), rest)
        _check_processes(name)
        if COMMANDS[name].needs_torch:
            one_thread()
        return _timed(COMMANDS[name], given)
    except SystemExit as ended:
        code = repr(ended.code or 0)
        raise EndedError(f"a plug-in or a library called sys.exit({code}) before the command was done") from ended


def _command_in(argv: list[str]) -> tuple[str | None, list[str]]:
    """(the command, its arguments); the command is None if help is requested without one."""
    if not argv:
        raise InputError(f"no command given, expected one of: {', '.join(COMMANDS)}; see satlab --help")
    first, *rest = argv
    if first in HELP:
        return None, []
    if first == "--version":
        print(f"satlab {__version__}")
        raise SystemExit(0)
    if first.startswith("-"):
        options = [*HELP, "--version", "--verbose", "--quiet", "--traceback"]
        raise InputError(f"{unknown('option', hyphened(first.partition('=')[0]), options)}; see satlab --help")
    if first not in COMMANDS:
        raise InputError(f"{unknown('command', first, COMMANDS)}; see satlab --help")
    return first, rest


def _show_help(name: str | None) -> NoReturn:
    """Prints the help of a command, or the list of all commands.

    Raises:
        SystemExit: with status 0.
    """
    parser = make_parser(only=name or "")
    print((parser if name is None else parser.of(name)).format_help(), end="")
    raise SystemExit(0)


def _check_processes(name: str) -> None:
    """Checks that a command other than training runs in a single process.

    Raises:
        InputError: for several processes.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1" and name != "train":
        from ...train.parallel.world import World

        if (size := World.from_environment().size) > 1:
            raise InputError(
                f"satlab {name} in {size} processes, expected one: torchrun is for satlab train; leave it out"
            )


def _timed(command: Command, given: Given) -> int:
    """Runs a command. With --verbose, logs its arguments and its time."""
    logger.debug("satlab %s, Python %s: %s", __version__, sys.version.partition(" ")[0], _shown(given))
    begin, begin_cpu = time.perf_counter(), time.process_time()
    status = int(command.run(given) or 0)
    took, cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    logger.debug("%s took %.1f s, %.1f s of CPU in this process", given.command, took, cpu)
    return status


def _shown(given: Given) -> str:
    own = {name: value for name, value in vars(given).items() if name not in ("command", "settings")}
    return ", ".join([given.command, *(f"{name} {value}" for name, value in (own | given.settings).items())])


def main() -> None:
    """The console script: runs one command and ends the process with its status."""
    try:
        status = run(sys.argv[1:])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else ending(ended)
    except BaseException as error:  # noqa: BLE001 - what plug-ins raise may be no Exception
        status = ending(error, wants_traceback(sys.argv[1:]))
    status = _flushed(status)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # The other processes may be gone, and this one must not wait for them. Gloo's threads sometimes abort an
        # orderly exit.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _flushed(status: int) -> int:
    """Flushes stdout. Returns the exit status: the given one, or that of an error here if the given one is 0."""
    try:
        sys.stdout.flush()
    except OSError as error:
        status = status or ending(error)
        # The interpreter would otherwise try to write the rest again at its end, and print an error.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status
