"""What satlab says on stderr beside results: lines of a level each, which leave a progress bar whole.

DEBUG is said with --verbose alone, INFO and WARNING unless --quiet is given, ERROR always. Processes that are started
say what the one that started them does.
"""

import logging
import os
import shlex
import sys
import warnings
from typing import Any

from .unforeseen import on_one_line

ROOT = "satlab"
"""The logger above all of satlab's."""

LEVEL = "SATLAB_LOG_LEVEL"
"""The environment variable that carries the level to processes that are started."""

PREFIXES = {logging.DEBUG: "satlab: debug: ", logging.INFO: "", logging.WARNING: "satlab: warning: "}
"""A level -> how its lines begin."""

logger = logging.getLogger(ROOT)


class _ToStderr(logging.Handler):
    """Writes a record as one line on what is stderr at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        line = PREFIXES.get(record.levelno, "satlab: ") + on_one_line(record.getMessage())
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def listen(verbose: bool = False, quiet: bool = False) -> None:
    """Sets what this process and those that it starts say.

    Args:
        verbose: also what is done.
        quiet: nothing but errors.
    """
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    os.environ[LEVEL] = logging.getLevelName(level)
    follow()


def follow() -> None:
    """Sets what this process says to what the one that started it does."""
    if not any(isinstance(handler, _ToStderr) for handler in logger.handlers):
        logger.addHandler(_ToStderr())
    logger.propagate = False
    logger.setLevel(os.environ.get(LEVEL, "INFO"))
    warnings.showwarning = show_warning


def is_quiet() -> bool:
    """Whether nothing but errors is said."""
    return not logger.isEnabledFor(logging.WARNING)


def show_warning(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    """Replaces `warnings.showwarning`: a line for each of satlab's own warnings, none for those of libraries."""
    if category is UserWarning:
        logger.warning("%s", on_one_line(str(message)))


def warn(message: str) -> None:
    """Prints a warning on a line of its own, also where it was given before."""
    logger.warning("%s", on_one_line(str(message)))


def say(message: str) -> None:
    """Prints a line of news, unless nothing but errors is said."""
    logger.info("%s", on_one_line(str(message)))


def fail(message: str) -> None:
    """Prints a line about something that failed; it is always said."""
    logger.error("%s", message)


def command_line(*words: str) -> str:
    """A command of satlab as a shell takes it; a word such as RUN stands for what a person chooses."""
    return shlex.join(["satlab", *words])


def say_next(results: object, *commands: str) -> None:
    """Prints the last line of a command: where its results are, and what to run next.

    Args:
        results: the file or directory.
        *commands: what can be done with them.
    """
    then = f"; next: {' | '.join(commands)}" if commands else ""
    logger.info("%s", on_one_line(f"satlab: results are in {results}{then}"))
