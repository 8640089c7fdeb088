"""Makes each measurement on a run's checkpoints once, on the device of the run's language, and keeps its rows.

A row has the columns model, parameters (their number), seed, step (null for a result that belongs to the language),
what, method, task, block, settings (JSON), value, stderr, n, unit, seconds, satlab. A measurement that was already made
with the same settings is not repeated.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ... import __version__
from ...estimate import Estimate
from ...system.disk import append_missing, check_appendable
from .result_cache import known_rows, of_key

if TYPE_CHECKING:
    from ...models import LanguageModel
    from ..runs.run import Run

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")
"""Methods whose accuracy belongs to the language and its task, not to a model."""

ENLARGED = "hessian_trace_enlarged"
"""The quantity of a trace measured inside a larger model."""


def measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of a measurement. If the file has none, makes the measurement and appends its rows all at once.

    If another process has appended such rows in the meantime, those are returned.

    Args:
        file: the results file.
        key: the columns that identify the measurement.
        take: makes the measurement.

    Returns:
        The rows in the file.

    Raises:
        OSError: before anything is measured, if the file cannot be written.
    """
    if known := known_rows(file, key):
        return known
    check_appendable(file)
    begin = time.perf_counter()
    taken = list(take())
    shared = {"seconds": time.perf_counter() - begin, "satlab": __version__}
    rows = [key | row | shared for row in taken]
    return append_missing(file, lambda there: [] if of_key(there, key) else rows) or known_rows(file, key)


def key_of(run: "Run", step: int, what: str, method: str, settings: str) -> Row:
    """The columns that identify a measurement of a checkpoint. Rows that agree in all of them are the same."""
    of_run = {"model": run.model, "seed": run.config.seed, "step": step}
    return of_run | {"what": what, "method": method, "settings": settings}


def values_of(estimate: Estimate) -> Row:
    """The columns value, stderr and n of a row."""
    # The standard error of a single draw is nan, which JSON does not have.
    stderr = None if math.isnan(estimate.stderr) else estimate.stderr
    return {"value": estimate.value, "stderr": stderr, "n": estimate.n}


def size_of(model: "LanguageModel") -> Row:
    """The column `parameters` of a row: their number, with tied ones counted once."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}
