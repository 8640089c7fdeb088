"""One row a checkpoint: everything that was measured on it side by side, each number with its standard error."""

import math
from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

from ..estimate import Estimate
from .measure import BASELINES, ENLARGED
from .points import is_saturated, kl_by_step
from .results import named
from .run import Run

Row = dict[str, Any]

TRACES = {"hessian_trace": "trace", ENLARGED: "enlarged"}


def wide_rows(runs: list[Run], rows: list[Row]) -> list[Row]:
    """A row for each checkpoint that has any measurement, in the order of runs and steps.

    Keys: run, name (the run's without its seed), model, seed, parameters, step, saturated, since_saturation (steps since
    the first row of the stretch of saturated ones, as training saw it), and as Estimates, where they were measured: kl and
    loss (nats), trace, trace BLOCK, enlarged, enlarged BLOCK (nats per squared parameter), accuracy TASK (the linear probe).
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
            for row in mine:
                wide |= _entries(row)
            found.append(wide | {"saturated": is_saturated(kl.get(step), run.config.threshold)})
    return found


def name_of(run: Run) -> str:
    """The key of a study's `models` that a run belongs to."""
    return run.folder.name.removesuffix(f"-seed{run.config.seed}")


def _entries(row: Row) -> Row:
    estimate = Estimate(row["value"], row["stderr"], row["n"])
    if row["what"] == "kl":
        return {"kl": estimate, "loss": Estimate(row["value"] + row["floor"], row["stderr"], row["n"])}
    if row["what"] in TRACES:
        name = TRACES[row["what"]]
        return {name if row["block"] == "total" else f"{name} {row['block']}": estimate}
    if row["what"] == "probe" and row["method"] == "linear":
        return {f"accuracy {row['task']}": estimate}
    return {}


def baseline(rows: Iterable[Row], method: str, task: str) -> Estimate | None:
    """What was measured of a task's majority class, look-up table or Bayes optimum; the last of several."""
    assert method in BASELINES
    found = [row for row in rows if row["method"] == method and row.get("task") == task and row["value"] is not None]
    return Estimate(found[-1]["value"], found[-1]["stderr"], found[-1]["n"]) if found else None


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
