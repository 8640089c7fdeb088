"""What commands print: rows as JSON lines on stdout, warnings as lines on stderr."""

import json
import warnings
from collections.abc import Iterable
from typing import Any

from ..analysis.notices import said_of_checkpoints
from ..messages import show_warning
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import Run
from .progress import progress_bar


def print_row(row: Any) -> None:
    """One JSON line."""
    print(json.dumps(row), flush=True)


def print_rows(run: Run, rows: Iterable[dict[str, Any]], step: int | None) -> None:
    """The rows as JSON lines, with a bar over the checkpoints."""
    with progress_bar(len(chosen_checkpoints(run, step)), "checkpoints") as bar:
        seen = set()
        for row in rows:
            print_row(row)
            seen.add(row["step"])
            bar.update(len(seen) - bar.n)


def warn(notices: Iterable[str]) -> None:
    """A line on stderr for each."""
    for notice in notices:
        show_warning(" ".join(notice.split()), UserWarning)


def warn_of_unsaturated(run: Run, step: int | None) -> None:
    """One warning that names the measured checkpoints that are not saturated."""
    for said in said_of_checkpoints(run, [at for at, _ in chosen_checkpoints(run, step)]):
        warnings.warn(said, stacklevel=1)
