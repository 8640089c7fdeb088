"""Computes the rows of experiments on theorems, each cell once, and keeps them on disk.

A directory holds rows.jsonl, with a row for each point, and NAME.csv, NAME.png and NAME.pdf for the settings requested
last. A cell is appended as a whole or not at all.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from functools import partial
from pathlib import Path

from ...errors import InputError
from ...spec import parse_spec
from ...system.new_folder import made_for
from ...theory.experiment import Experiment, experiments
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


def run_experiment(spec: str, out: Path, on_cell: Callable[[int], object] = lambda cells: None) -> list[Row]:
    """The rows of all cells. Cells that rows.jsonl already has are not computed again.

    Args:
        spec: see `experiment_of`.
        out: the directory.
        on_cell: called with 1 after each cell.

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
        for cell in experiment.cells():
            key = {"what": "experiment", "method": experiments.name_of(experiment), "settings": settings, "cell": cell}
            rows += measured(out / ROWS, key, partial(_taken, experiment, cell))
            on_cell(1)
    return rows


def _taken(experiment: Experiment, cell: str) -> list[Row]:
    return list(experiment.rows(cell))


def columns_of(rows: list[Row]) -> list[str]:
    """The columns of the table: all keys in order, except those that identify the cell or the measurement."""
    found = dict.fromkeys(key for row in rows for key in row)
    return [key for key in found if key not in (*KEY, "seconds", "satlab")]
