"""Measurements on a run's checkpoints: one row each, taken once, on the device that the run's language is on.

A row: model, parameters (their number), seed, step (null for what belongs to the language), what, method, task, block,
settings (JSON), value, stderr, n, unit, seconds, satlab. What was measured before with the same settings is not
measured again.
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
"""The quantity that is the trace inside a larger model."""


def measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of a measurement; where the file has none, it is made, and its rows are appended all at once.

    Where another process has appended rows meanwhile, those are returned.

    Args:
        file: the results file.
        key: what names the measurement.
        take: makes the measurement.

    Returns:
        The rows as the file holds them.

    Raises:
        OSError: before anything is measured, where the file cannot be written.
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
    """What names a measurement of a checkpoint; rows that agree in all of it are the same measurement."""
    of_run = {"model": run.model, "seed": run.config.seed, "step": step}
    return of_run | {"what": what, "method": method, "settings": settings}


def values_of(estimate: Estimate) -> Row:
    """The columns value, stderr and n of a row."""
    # A single draw has no standard error, and JSON has no nan.
    stderr = None if math.isnan(estimate.stderr) else estimate.stderr
    return {"value": estimate.value, "stderr": stderr, "n": estimate.n}


def size_of(model: "LanguageModel") -> Row:
    """The column parameters of a row: their number, tied ones counted once."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}
