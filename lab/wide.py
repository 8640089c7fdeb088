"""One row a checkpoint: everything that was measured on it side by side, each number with its standard error."""

import math
from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

from ..estimate import Estimate
from .choice import Setting, panel_name, panel_of, setting_of
from .measure import BASELINES
from .points import TRACES, is_saturated, kl_by_step
from .probe_config import PROBES
from .results import named
from .run import Run

Row = dict[str, Any]


def wide_rows(runs: list[Run], rows: list[Row]) -> list[Row]:
    """A row for each checkpoint that has any measurement, in the order of runs and steps.

    Keys: run, name (the run's without its seed), model, seed, parameters, step, saturated, since_saturation (steps since
    the first row of the stretch of saturated ones, as training saw it), and as Estimates, where they were measured: kl,
    floor (the entropy of the truth over the same sentences) and loss = kl + floor (nats), trace, trace BLOCK, enlarged,
    enlarged BLOCK (nats per squared parameter), accuracy PANEL (see `panel_name`). by: key -> how it was measured.

    The loss's standard error is sqrt(stderr(kl)^2 + stderr(floor)^2), as if KL and the entropy were uncorrelated over
    the sentences: where they rise together it is too small, where one falls as the other rises too large. It is that of
    KL alone in rows without an error of the floor, which older versions wrote.
    """
    found = []
    for label, run in named(runs).items():
        here = [row for row in rows if row["run"] == label]
        kl = kl_by_step(run, here)
        since = {row["step"]: row["since_saturation"] for row in run.metrics if "since_saturation" in row}
        for step in sorted({row["step"] for row in here}):
            mine = [row for row in here if row["step"] == step]
            wide: Row = {"run": label, "name": name_of(run), "model": run.model, "seed": run.config.seed}
            wide |= {"parameters": mine[0].get("parameters"), "step": step, "since_saturation": since.get(step)}
            by: dict[str, Setting] = {}
            for row in mine:
                entries = _entries(row)
                wide |= entries
                by |= dict.fromkeys(entries, setting_of(row))
            found.append(wide | {"by": by, "saturated": is_saturated(kl.get(step), run.config.threshold)})
    return found


def name_of(run: Run) -> str:
    """The key of a study's `models` that a run belongs to."""
    return run.folder.name.removesuffix(f"-seed{run.config.seed}")


def _entries(row: Row) -> Row:
    estimate = Estimate(row["value"], row["stderr"], row["n"])
    if row["what"] == "kl":
        return {"kl": estimate} | _loss(row)
    if row["what"] in TRACES:
        name = TRACES[row["what"]]
        return {name if row["block"] == "total" else f"{name} {row['block']}": estimate}
    if row["what"] == "probe" and row["method"] not in BASELINES:
        return {f"accuracy {panel_of(row)}": estimate}
    return {}


def _loss(row: Row) -> Row:
    if row.get("floor") is None:
        return {}
    error = row.get("floor_stderr")
    floor = Estimate(row["floor"], math.nan if error is None else error, row["n"])
    stderr = row["stderr"] if error is None else math.hypot(row["stderr"], error)
    return {"floor": floor, "loss": Estimate(row["value"] + row["floor"], stderr, row["n"])}


def panels_of(wide: list[Row], tasks: list[str]) -> list[str]:
    """The panels of these tasks that have an accuracy, task by task."""
    named = [panel_name(task, method) for task in tasks for method in PROBES]
    return [panel for panel in named if any(f"accuracy {panel}" in row for row in wide)]


def how_of(wide: list[Row], key: str) -> Setting | None:
    """By which method and settings a key was measured: one for all rows, as `one_setting` leaves them."""
    return next((row["by"][key] for row in wide if key in row["by"]), None)


def baseline_row(rows: Iterable[Row], method: str, panel: str) -> Row | None:
    """The row of a majority class, look-up table or Bayes optimum beside a task's probe; the last of several."""
    assert method in BASELINES
    found = [row for row in rows if row["method"] == method and row["value"] is not None and panel_of(row) == panel]
    return found[-1] if found else None


def baseline(rows: Iterable[Row], method: str, panel: str) -> Estimate | None:
    """What was measured of it."""
    found = baseline_row(rows, method, panel)
    return Estimate(found["value"], found["stderr"], found["n"]) if found else None


def last_of_each(wide: list[Row]) -> list[Row]:
    """Of each run the row of its last checkpoint."""
    return list({row["run"]: row for row in wide}.values())


def over_seeds(wide: list[Row], key: str) -> Estimate | None:
    """The mean of a key over rows of different seeds: standard error and n over these; of a single one what it says itself."""
    found = [row[key] for row in wide if row.get(key) is not None]
    if len(found) < 2:
        return found[0] if found else None
    values = [estimate.value for estimate in found]
    return Estimate(fmean(values), stdev(values) / math.sqrt(len(values)), len(values))
