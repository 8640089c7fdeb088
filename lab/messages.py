"""Messages on stderr: one line each, with a level, written so that they do not break a progress bar.

DEBUG messages appear only with --verbose, INFO and WARNING unless --quiet is given, and ERROR always. Child processes
inherit the level.
"""

import logging
import os
import shlex
import sys
import warnings
from typing import Any

from .unforeseen import on_one_line

ROOT = "satlab"
"""The name of satlab's top logger."""

LEVEL = "SATLAB_LOG_LEVEL"
"""The environment variable that passes the level to child processes."""

PREFIXES = {logging.DEBUG: "satlab: debug: ", logging.INFO: "", logging.WARNING: "satlab: warning: "}
"""Level -> prefix of its lines. Errors have the prefix "satlab: "."""

logger = logging.getLogger(ROOT)


class _ToStderr(logging.Handler):
    """Writes a record as one line to the current stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        line = PREFIXES.get(record.levelno, "satlab: ") + on_one_line(record.getMessage())
        if "tqdm" in sys.modules:
            sys.modules["tqdm"].tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr, flush=True)


def listen(verbose: bool = False, quiet: bool = False) -> None:
    """Sets the level of messages for this process and its child processes.

    Args:
        verbose: also show debug messages.
        quiet: show only errors.
    """
    level = logging.DEBUG if verbose else logging.ERROR if quiet else logging.INFO
    os.environ[LEVEL] = logging.getLevelName(level)
    follow()


def follow() -> None:
    """Sets the level of messages to that of the parent process."""
    if not any(isinstance(handler, _ToStderr) for handler in logger.handlers):
        logger.addHandler(_ToStderr())
    logger.propagate = False
    logger.setLevel(os.environ.get(LEVEL, "INFO"))
    warnings.showwarning = show_warning


def is_quiet() -> bool:
    """Whether only errors are shown."""
    return not logger.isEnabledFor(logging.WARNING)


def show_warning(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
    """Replaces `warnings.showwarning`: shows each UserWarning as one line, and hides all other categories."""
    if category is UserWarning:
        logger.warning("%s", on_one_line(str(message)))


def warn(message: str) -> None:
    """Prints a warning on one line, even if it was printed before."""
    logger.warning("%s", on_one_line(str(message)))


def say(message: str) -> None:
    """Prints a line of information, unless only errors are shown."""
    logger.info("%s", on_one_line(str(message)))


def fail(message: str) -> None:
    """Prints a line about a failure. It is always shown."""
    logger.error("%s", message)


def command_line(*words: str) -> str:
    """A satlab command, quoted for a shell. A word such as RUN is a placeholder."""
    return shlex.join(["satlab", *words])


def say_next(results: object, *commands: str) -> None:
    """Prints the last line of a command: where its results are, and what to run next.

    Args:
        results: the file or directory.
        *commands: commands to run next.
    """
    then = f"; next: {', or '.join(commands)}" if commands else ""
    logger.info("%s", on_one_line(f"satlab: results are in {results}{then}"))
