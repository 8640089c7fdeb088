"""Reports an unexpected error in one line. Imports nothing from satlab, so that it always works."""

import sys
import traceback
from collections.abc import Sequence

OPTION = "--traceback"
"""The option that shows where an error came from. It may stand anywhere in a command."""

MOST_SHOWN = 300
"""The most characters of an error's message that the line repeats."""


def wants_traceback(arguments: Sequence[str]) -> bool:
    """Whether a command line has the option before any `--`."""
    return len(without_option(arguments)) < len(arguments)


def without_option(arguments: Sequence[str]) -> list[str]:
    """The command line without the option."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [argument for at, argument in enumerate(arguments) if at >= end or argument != OPTION]


def explained(error: BaseException) -> str:
    """The type, message and place of an error on one line, with a request to report it."""
    said = " ".join(str(error).split())
    said = said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]}..."
    frames = traceback.extract_tb(error.__traceback__)
    where = f", {frames[-1].filename} line {frames[-1].lineno}" if frames else ""
    return (
        f"unexpected {type(error).__name__}{f': {said}' if said else ''}{where}; this is a fault of satlab, or of a "
        f"file added to it: please report it to its developers, with what the same command prints with {OPTION}"
    )


def on_one_line(text: str) -> str:
    """The text on one line: white space becomes single blanks, and control characters and surrogates become escapes."""
    text = " ".join(text.split())
    return "".join(
        repr(c)[1:-1] if ord(c) < 32 or 127 <= ord(c) < 160 or "\ud800" <= c <= "\udfff" else c for c in text
    )


def show_traceback(error: BaseException) -> None:
    """Prints where an error came from on stderr."""
    traceback.print_exception(error, file=sys.stderr)


def end_unforeseen(error: BaseException, with_traceback: bool) -> int:
    """Prints the error. Returns the exit status, 1."""
    if with_traceback:
        show_traceback(error)
    print(f"satlab: {on_one_line(explained(error))}", file=sys.stderr, flush=True)
    return 1
