"""Measurements on a run's checkpoints: one row each, taken once, on the device that the run's language is on.

A row: model, parameters (their number), seed, step (null for what belongs to the language), what, method, task, block,
settings (JSON), value, stderr, n, unit, seconds, satlab. What was measured before with the same settings is not measured again.
"""

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ... import __version__
from ...estimate import Estimate
from ...models import MaskedLM
from ...system.disk import append_missing, check_appendable
from ..runs.run import Run
from .result_cache import known_rows, of_key

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")
"""Probe methods that belong to the language and its task, not to a model."""

ENLARGED = "hessian_trace_enlarged"
"""What a trace inside a larger model is called."""


def measured(file: Path, key: Row, take: Callable[[], Iterable[Row]]) -> list[Row]:
    """The rows of the file under this key; where there are none they are taken and added to it, all at once.

    Where another process has added them meanwhile, its rows are the ones. Raises OSError, before anything is taken, where
    the file cannot be written.
    """
    if known := known_rows(file, key):
        return known
    check_appendable(file)
    begin = time.perf_counter()
    taken = list(take())
    shared = {"seconds": time.perf_counter() - begin, "satlab": __version__}
    rows = [key | row | shared for row in taken]
    return append_missing(file, lambda there: [] if of_key(there, key) else rows) or known_rows(file, key)


def key_of(run: Run, step: int, what: str, method: str, settings: str) -> Row:
    """What names a measurement of a checkpoint: rows that agree in all of it are the same measurement."""
    of_run = {"model": run.model, "seed": run.config.seed, "step": step}
    return of_run | {"what": what, "method": method, "settings": settings}


def values_of(estimate: Estimate) -> Row:
    """value, stderr and n of a row."""
    # A single draw has no standard error; JSON has no nan.
    stderr = None if math.isnan(estimate.stderr) else estimate.stderr
    return {"value": estimate.value, "stderr": stderr, "n": estimate.n}


def size_of(model: MaskedLM) -> Row:
    """The number of parameters, tied ones once."""
    return {"parameters": sum(parameter.numel() for parameter in model.parameters())}
