"""One row for each checkpoint, with all that was measured on it, each number with its standard error."""

import math
from collections import Counter
from collections.abc import Iterable
from statistics import fmean, stdev
from typing import Any

from ...estimate import Estimate
from ...train import TrainConfig
from ..measurements.known_methods import probe_names
from ..measurements.measure import BASELINES
from ..runs.run import Run
from .checkpoint_table import TRACES, is_saturated, kl_by_step, versions_of
from .results import named, own_name
from .row_selection import Setting, panel_name, panel_of, setting_of

Row = dict[str, Any]


def wide_rows(runs: list[Run], rows: list[Row]) -> list[Row]:
    """A row for each checkpoint on which anything was measured.

    The standard error of the loss is sqrt(stderr(kl)^2 + stderr(floor)^2), as if KL and the entropy were uncorrelated
    over the sentences. It is too small if they are positively correlated, and too large if negatively. In rows without
    an error of the floor, which older versions wrote, it is that of KL alone.

    Args:
        runs: the runs of the checkpoints.
        rows: the rows that `one_setting` selects.

    Returns:
        Rows in the order of runs and steps, with the keys run, name (of the run without its seed), model, seed,
        parameters, step, saturated and since_saturation (steps since the first row of the current stretch of saturated
        rows, as training recorded it). If measured, as Estimates: kl, floor (the entropy of the truth over the same
        sentences) and loss = kl + floor (nats), trace, trace BLOCK, enlarged, enlarged BLOCK (nats per squared
        parameter), accuracy PANEL (see `panel_name`). by: key -> how it was measured. satlab: key -> the version that
        measured it. seeds: number of runs with this name. ended: whether training ended here because of saturation.
    """
    found, seeds = [], Counter(map(name_of, runs))
    for label, run in named(runs).items():
        here = [row for row in rows if row["run"] == label]
        kl, metrics = kl_by_step(run, here), run.metrics
        since = {row["step"]: row["since_saturation"] for row in metrics if "since_saturation" in row}
        ended = _ended(run.config, metrics)
        for step in sorted({row["step"] for row in here}):
            mine = [row for row in here if row["step"] == step]
            wide: Row = {"run": label, "name": name_of(run), "model": run.model, "seed": run.config.seed}
            wide |= {"parameters": mine[0].get("parameters"), "step": step, "since_saturation": since.get(step)}
            wide |= {"seeds": seeds[wide["name"]], "ended": step == ended}
            by: dict[str, Setting] = {}
            versions: dict[str, str] = {}
            for row in mine:
                entries = _entries(row)
                wide |= entries
                by |= dict.fromkeys(entries, setting_of(row))
                versions |= dict.fromkeys(entries, versions_of([row])[0])
            wide |= {"by": by, "satlab": versions}
            found.append(wide | {"saturated": is_saturated(kl.get(step), run.config.threshold)})
    return found


def _ended(config: TrainConfig, metrics: list[Row]) -> int | None:
    """The step at which a run stopped because it was saturated; None if it did not."""
    if config.stop_at_saturation and metrics and metrics[-1].get("saturated"):
        return int(metrics[-1]["step"])
    return None


def name_of(run: Run) -> str:
    """The key of a study's `models` that a run belongs to."""
    return own_name(run.folder).removesuffix(f"-seed{run.config.seed}")


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
    named = [panel_name(task, method) for task in tasks for method in probe_names()]
    return [panel for panel in named if any(f"accuracy {panel}" in row for row in wide)]


def how_of(wide: list[Row], key: str) -> Setting | None:
    """The method and settings by which a key was measured, the same in all rows because of `one_setting`."""
    return next((row["by"][key] for row in wide if key in row["by"]), None)


def baseline_row(rows: Iterable[Row], method: str, panel: str) -> Row | None:
    """The last row of a baseline, majority class, look-up table or Bayes optimum, in a panel; None without one."""
    assert method in BASELINES
    found = [row for row in rows if row["method"] == method and row["value"] is not None and panel_of(row) == panel]
    return found[-1] if found else None


def baseline(rows: Iterable[Row], method: str, panel: str) -> Estimate | None:
    """The accuracy in `baseline_row`; None without a row."""
    found = baseline_row(rows, method, panel)
    return Estimate(found["value"], found["stderr"], found["n"]) if found else None


def last_of_each(wide: list[Row]) -> list[Row]:
    """The row of each run's last checkpoint.

    A run that diverged, or stopped before the other seeds of its model without being saturated, is left out;
    `fewer_seeds` reports this.

    Args:
        wide: as `wide_rows` returns them.

    Returns:
        The rows whose step is the largest of their model, or at which training ended because of saturation.
    """
    last = {row["run"]: row for row in wide}.values()
    greatest: dict[str, int] = {}
    for row in last:
        greatest[row["name"]] = max(row["step"], greatest.get(row["name"], 0))
    return [row for row in last if row["step"] == greatest[row["name"]] or row["ended"]]


def fewer_seeds(wide: list[Row]) -> str:
    """The text "2 of 3 seeds" if a model's rows, one for each run, lack some of its seeds; otherwise an empty text."""
    count = len({row["run"] for row in wide})
    return f"{count} of {wide[0]['seeds']} seeds" if count and count < wide[0]["seeds"] else ""


def over_seeds(wide: list[Row], key: str) -> Estimate | None:
    """The mean of a quantity over seeds, with the errors due to training and to the measurement.

    stderr^2 = stdev^2 / n + mean of the measurements' own stderr^2. All seeds are measured on the same sentences and
    contexts, so their spread does not include the error that they share. The formula is exact if the whole measurement
    error is shared, and otherwise too large.

    Args:
        wide: n rows of different seeds.
        key: the quantity.

    Returns:
        The mean; for a single row its own estimate; None if no row has the quantity.
    """
    found = [row[key] for row in wide if row.get(key) is not None]
    mean = between_seeds(wide, key)
    if mean is None or len(found) < 2:
        return mean
    within = fmean(estimate.stderr**2 for estimate in found)
    return Estimate(mean.value, math.sqrt(mean.stderr**2 + within), mean.n)


def between_seeds(wide: list[Row], key: str) -> Estimate | None:
    """The mean of a quantity over seeds, with only the error due to training: stdev / sqrt(n).

    It is meant for differences of quantities that were measured on the same sentences.

    Args:
        wide: n rows of different seeds.
        key: the quantity.

    Returns:
        The mean; for a single row its own estimate; None if no row has the quantity.
    """
    found = [row[key] for row in wide if row.get(key) is not None]
    if len(found) < 2:
        return found[0] if found else None
    values = [estimate.value for estimate in found]
    return Estimate(fmean(values), stdev(values) / math.sqrt(len(values)), len(values))


def versions_in(wide: Iterable[Row], keys: Iterable[str]) -> list[str]:
    """The versions of satlab that measured these keys."""
    keys = set(keys)
    return sorted({version for row in wide for key, version in row["satlab"].items() if key in keys})
