"""The output of commands: rows as JSON lines on stdout, warnings and hints as lines on stderr."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..messages import command_line, say_next, warn
from .progress import progress_bar

if TYPE_CHECKING:
    from ..runs.run import Run


def print_row(row: Mapping[str, Any]) -> None:
    """Prints a row as a JSON line."""
    print(json.dumps(row), flush=True)


def print_rows(run: "Run", rows: Iterable[dict[str, Any]], step: int | None) -> None:
    """Prints the rows as JSON lines, with a progress bar over the checkpoints."""
    from ..runs.checkpoints import chosen_checkpoints

    with progress_bar(len(chosen_checkpoints(run, step)), "checkpoints") as bar:
        seen = set()
        for row in rows:
            print_row(row)
            seen.add(row["step"])
            bar.update(len(seen) - bar.n)


def warn_of(notices: Iterable[str]) -> None:
    """Prints a warning for each notice."""
    for notice in notices:
        warn(notice)


def warn_of_unsaturated(run: "Run", step: int | None) -> None:
    """Warns, in one line, about the measured checkpoints that are not saturated."""
    from ..analysis.notices import said_of_checkpoints
    from ..runs.checkpoints import chosen_checkpoints

    warn_of(said_of_checkpoints(run, [at for at, _ in chosen_checkpoints(run, step)]))


def say_next_of_rows(run: "Run") -> None:
    """Prints where the rows of a measurement are, and which commands show them."""
    from ..runs.run import RESULTS

    folder = str(run.folder)
    say_next(run.folder / RESULTS, command_line("plot", folder), command_line("report", folder))
