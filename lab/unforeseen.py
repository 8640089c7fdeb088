"""The last net: an error that nobody foresaw ends a command in one line. It imports nothing of satlab."""

import sys
import traceback
from collections.abc import Sequence

OPTION = "--traceback"
"""Given anywhere in a command, it shows where an error came from."""

MOST_SHOWN = 300
"""Characters of an error's message that the line repeats."""


def wants_traceback(arguments: Sequence[str]) -> bool:
    """Whether a command line has the option; what follows -- are no options."""
    return len(without_option(arguments)) < len(arguments)


def without_option(arguments: Sequence[str]) -> list[str]:
    """A command line without the option."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return [argument for at, argument in enumerate(arguments) if at >= end or argument != OPTION]


def explained(error: BaseException) -> str:
    """An error's type and message on one line, and where to report it."""
    said = " ".join(str(error).split())
    said = said if len(said) <= MOST_SHOWN else f"{said[:MOST_SHOWN]}..."
    return (
        f"unexpected {type(error).__name__}{f': {said}' if said else ''}; this is a fault of satlab: please report it "
        f"to its developers, with what the same command prints with {OPTION}"
    )


def on_one_line(text: str) -> str:
    """The text on one line: what file names may hold and no line can is escaped, and other white space is blanks."""
    text = " ".join(text.split())
    return "".join(
        repr(c)[1:-1] if ord(c) < 32 or 127 <= ord(c) < 160 or "\ud800" <= c <= "\udfff" else c for c in text
    )


def show_traceback(error: BaseException) -> None:
    """Prints where an error came from on stderr."""
    traceback.print_exception(error, file=sys.stderr)


def end_unforeseen(error: BaseException, with_traceback: bool) -> int:
    """Says what happened; the exit status, 1."""
    if with_traceback:
        show_traceback(error)
    print(f"satlab: {on_one_line(explained(error))}", file=sys.stderr, flush=True)
    return 1
