"""Summarises the studies of a series: means over chains, and a decomposition of the loss of accuracy.

    accuracy lost = (Bayes - head on the exact words)                           due to the emission's rank, or the task
                  + (head on the exact words - head on the model's words)       due to the model's KL
                  + (head on the model's words - head as trained)               due to the head's optimiser

Each term is a difference on the same texts within a chain. Its standard error is over chains.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...estimate import Estimate

Row = dict[str, Any]

BASELINES = ("majority", "lookup", "bayes")

OPTIMUM, TRAINED = "head", "head-adamw"
"""Two probes that differ only in the optimiser of the head."""

LOSSES = (
    ("words", ("bayes", OPTIMUM), ("lookup", OPTIMUM)),
    ("model", ("lookup", OPTIMUM), ("model", OPTIMUM)),
    ("optimiser", ("model", OPTIMUM), ("model", TRAINED)),
    ("total", ("bayes", OPTIMUM), ("model", TRAINED)),
)
"""(loss, from, to): a loss is the accuracy of `from` minus that of `to`, each given as (model or baseline, probe)."""

BESIDE = ("tv_posterior", "l2_posterior", "share_margin_below_1e-4")
BANDS = ("accuracy_margin_below_1e-4", "accuracy_margin_1e-4_to_1e-2", "accuracy_margin_above_1e-2")
"""Columns that a head probe adds to its rows, with one value for each repeat."""


@dataclass(frozen=True)
class Cell:
    """A study of a series.

    Args:
        values: key of the language -> value.
        rows: all rows recorded in the study.
    """

    values: Mapping[str, Any]
    rows: Sequence[Row]


def summary(cells: Sequence[Cell]) -> list[Row]:
    """Means over the cells that agree in the first key.

    Args:
        cells: the cells of one series.

    Returns:
        A row for each value of the first key, model or baseline (`whose`), task, quantity and probe, with value, stderr
        and n (cells). The rows are sorted by the first key if its values are numbers, and otherwise in the order of the
        cells.
    """
    numbers: dict[tuple[Any, ...], list[float]] = {}
    for cell in cells:
        axis = next(iter(cell.values))
        for key, value in _of_cell(cell):
            numbers.setdefault((axis, cell.values[axis], *key), []).append(value)
    rows = []
    for (axis, at, task, whose, quantity, probe), values in numbers.items():
        mean = Estimate.from_samples(torch.tensor(values, dtype=torch.float64))
        about = {"axis": axis, "at": at, "task": task, "whose": whose, "quantity": quantity, "probe": probe}
        rows.append(about | {"value": mean.value, "stderr": mean.stderr, "n": mean.n})
    order = list(dict.fromkeys(row["at"] for row in rows))
    if all(isinstance(at, (int, float)) for at in order):
        order.sort()
    return sorted(rows, key=lambda row: order.index(row["at"]))


def per_cell(cells: Sequence[Cell]) -> list[Row]:
    """One row for each number of each cell: the keys of its language, then task, whose, quantity, probe, value."""
    return [
        dict(cell.values) | {"task": task, "whose": whose, "quantity": quantity, "probe": probe, "value": value}
        for cell in cells
        for (task, whose, quantity, probe), value in _of_cell(cell)
    ]


Key = tuple[str | None, str, str, str | None]
"""Task, model or baseline, quantity, probe."""


def _of_cell(cell: Cell) -> list[tuple[Key, float]]:
    """All numbers of a cell: KL, accuracies and further columns of the last checkpoints and baselines, and losses.

    Args:
        cell: a study of the series.

    Returns:
        The numbers; for a model that was trained several times, their mean over trainings.
    """
    of_runs: dict[Any, dict[Key, float]] = {}
    for row in _last(cell.rows):
        found = of_runs.setdefault(row.get("run"), {})
        if row["what"] == "kl" and row["value"] is not None:
            found[None, row["model"], "kl", None] = row["value"]
        elif row["what"] == "probe" and row["value"] is not None:
            baseline = row["method"] in BASELINES
            whose, probe = (row["method"], probe_of(row)) if baseline else (row["model"], row["method"])
            found[row["task"], whose, "accuracy", probe] = row["value"]
            for name in (*BESIDE, *BANDS):
                values = [value for value in row.get(name) or [] if value is not None]
                if values:
                    found[row["task"], whose, name, probe] = sum(values) / len(values)
    numbers: dict[Key, list[float]] = {}
    for found in of_runs.values():
        for key, value in found.items():
            numbers.setdefault(key, []).append(value)
    means = {key: sum(values) / len(values) for key, values in numbers.items()}
    return [*means.items(), *_losses(means).items()]


def _losses(found: Mapping[Key, float]) -> dict[Key, float]:
    """The losses of each model and task for which both terms were measured."""
    lost: dict[Key, float] = {}
    pairs = {(task, whose) for task, whose, quantity, _ in found if quantity == "accuracy" and whose not in BASELINES}
    for task, model in sorted(pairs, key=str):
        for name, upper, lower in LOSSES:
            ends = [
                found.get((task, model if whose == "model" else whose, "accuracy", probe))
                for whose, probe in (upper, lower)
            ]
            if ends[0] is not None and ends[1] is not None:
                lost[task, model, f"lost to {name}" if name != "total" else "lost in all", TRAINED] = ends[0] - ends[1]
    return lost


def _last(rows: Sequence[Row]) -> list[Row]:
    """The baselines, and the rows of each run's last measured checkpoint."""
    last: dict[Any, int] = {}
    for row in rows:
        if row["step"] is not None:
            last[row.get("run")] = max(last.get(row.get("run"), -1), row["step"])
    return [row for row in rows if row["step"] is None or row["step"] == last[row.get("run")]]


def probe_of(row: Row) -> str:
    """The probe to which a baseline belongs, from its settings. The probe linear is not named there."""
    method = json.loads(row["settings"]).get("method", "linear")
    return str(method)
