"""Computes the rows of experiments on theorems, each cell once, and keeps them on disk.

A directory holds rows.jsonl, with a row for each point, its experiment and settings. For the settings requested last it
also holds NAME.csv, NAME.png and NAME.pdf, and NAME-means.csv if the experiment has means. A cell is appended as a
whole or not at all.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...spec import parse_spec
from ...system.new_folder import made_for
from ...theory.experiment import Experiment, Means, experiments
from .measure import Row, measured

ROWS = "rows.jsonl"

KEY = ("what", "method", "settings", "cell")


def experiment_of(spec: str) -> Experiment:
    """The experiment with the given name and settings, such as "drift:replicas=200".

    Args:
        spec: NAME or NAME:setting=value,...

    Returns:
        The experiment.

    Raises:
        InputError: for an unknown experiment or setting, suggesting the nearest name.
    """
    return parse_spec(spec, experiments)


def run_experiment(
    spec: str, out: Path, on_cell: Callable[[str], object] = lambda name: None, only: str | None = None
) -> list[Row]:
    """The rows of all cells. Cells that rows.jsonl already has are not computed again.

    Args:
        spec: see `experiment_of`.
        out: the directory.
        on_cell: called with the name of each cell that has ended.
        only: the cell that is done; all unless given.

    Returns:
        The rows, cell by cell.

    Raises:
        InputError: as `experiment_of` and the experiment do, and if `out` holds something else.
    """
    experiment = experiment_of(spec)
    assert is_dataclass(experiment)
    settings = json.dumps(asdict(experiment), sort_keys=True)
    experiment.check()
    if out.exists() and not (out / ROWS).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} holds something else, expected a new or empty directory; choose another --out")
    rows = []
    with made_for(out):
        for cell in (only,) if only is not None else experiment.cells():
            key = {"what": "experiment", "method": experiments.name_of(experiment), "settings": settings, "cell": cell}
            rows += measured(out / ROWS, key, partial(_taken, experiment, cell))
            on_cell(cell)
    return rows


def _taken(experiment: Experiment, cell: str) -> list[Row]:
    return list(experiment.rows(cell))


def columns_of(rows: list[Row]) -> list[str]:
    """The columns of the table: all keys in order, except those that identify the cell or the measurement."""
    found = dict.fromkeys(key for row in rows for key in row)
    return [key for key in found if key not in (*KEY, "seconds", "satlab")]


def means_of(rows: list[Row], means: Means) -> list[Row]:
    """The means over rows, in the order of the rows.

    Rows that have errors of their own share what these come from, so that these do not shrink with their number:
    stderr^2 = sd^2 / n + the mean of the rows' own stderr^2.

    Args:
        rows: of an experiment.
        means: what is to agree, and of what means are taken.

    Returns:
        A row for each combination: the columns in which it agrees, for each mean its value and `_stderr`, and `n`, its
        number of rows; an error is null that nothing is known of.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if all(name in row for name in means.by + means.of):
            groups.setdefault(tuple(row[name] for name in means.by), []).append(row)
    found = []
    for key, group in groups.items():
        mean: Row = dict(zip(means.by, key, strict=True))
        for name in means.of:
            values: list[float] = [row[name] for row in group]
            own: list[float | None] = [row.get(f"{name}_stderr") for row in group]
            mean |= {name: math.fsum(values) / len(values), f"{name}_stderr": _stderr(values, own)}
        found.append(mean | {"n": len(group)})
    return found


def _stderr(values: list[float], own: list[float | None]) -> float | None:
    n = len(values)
    known = [one for one in own if one is not None]
    if n == 1 and not known:
        return None
    centre = math.fsum(values) / n
    spread = math.fsum((value - centre) ** 2 for value in values) / (n * (n - 1)) if n > 1 else 0.0
    return math.sqrt(spread + (math.fsum(one**2 for one in known) / n))
