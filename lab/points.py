"""What figures and reports show of recorded rows: points, which rows make one curve, which models are saturated."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..estimate import ONE_SIDED_95
from .measure import BASELINES
from .results import named, rows_in, runs_in
from .run import Run

Row = dict[str, Any]


def recorded(folders: list[Path]) -> tuple[list[Run], list[Row]]:
    """The runs of these directories and all of their rows.

    Raises InputError where a directory is neither a run nor a study, where nothing is recorded yet, and where the runs
    are on different languages.
    """
    runs, rows = runs_in(folders), rows_in(folders)
    if not any(run.metrics for run in runs):
        raise InputError(f"{folders[0]}: no metrics yet, expected a trained run; train one first")
    if len({run.language.fingerprint() for run in runs}) > 1:
        names = ", ".join(sorted({run.source for run in runs}))
        raise InputError(f"the runs are on different languages ({names}), expected one; take each language by itself")
    return runs, rows


def one_setting(rows: list[Row]) -> list[Row]:
    """Of each kind of measurement the rows taken with one setting: measurements of different care make no curve.

    It is the setting that covers the most checkpoints, or the later one of two that cover as many. Rows without a value
    are left out, and probes of one layer or position. Of probes, the setting is one of "linear" where there is any.
    """
    kinds: dict[Any, list[Row]] = {}
    for row in rows:
        whole = row.get("layer") is None and row.get("position") is None
        if whole and row["value"] is not None and row["value"] == row["value"]:
            kinds.setdefault((row["what"], row.get("task")), []).append(row)
    kept = []
    for group in kinds.values():
        measured = [row for row in group if row["method"] not in BASELINES] or group[-1:]
        settings = [row["settings"] for row in measured if row["method"] == "linear"]
        settings = settings or [row["settings"] for row in measured]
        _, chosen = max(enumerate(settings), key=lambda item: (settings.count(item[1]), item[0]))
        kept += [row for row in group if row["settings"] == chosen]
    return kept


def kl_by_step(run: Run, here: Iterable[Row]) -> dict[int, Row]:
    """KL with its error at each step of a run: where it was measured, on fresh sentences; else as training saw it.

    Args:
        here: the run's own rows.
    """
    kl = {row["step"]: row for row in run.metrics}
    fresh = [row for row in here if row["what"] == "kl"]
    return kl | {row["step"]: {"kl": row["value"], "kl_stderr": row["stderr"], "n": row["n"]} for row in fresh}


def is_saturated(kl: Mapping[str, Any] | None, threshold: float) -> bool:
    """Whether the upper 95 % bound of KL is below the threshold; never where KL is not known."""
    return kl is not None and kl["kl"] + ONE_SIDED_95 * kl["kl_stderr"] < threshold


def ends_saturated(run: Run, here: Iterable[Row]) -> bool:
    """Whether a run's last step is saturated."""
    kl = kl_by_step(run, here)
    return is_saturated(kl[max(kl)] if kl else None, run.config.threshold)


def points_of(runs: list[Run], rows: list[Row]) -> list[Row]:
    """One point a checkpoint and task: accuracy, and where they were measured trace and KL, each with its error."""
    points = []
    for name, run in named(runs).items():
        here = [row for row in rows if row["run"] == name]
        kl = kl_by_step(run, here)
        trace = {row["step"]: row for row in here if row["what"] == "hessian_trace" and row["block"] == "total"}
        for row in sorted((row for row in here if row["method"] == "linear"), key=lambda row: row["step"]):
            step = row["step"]
            point: Row = {"run": name, "model": run.model, "parameters": row.get("parameters"), "task": row["task"]}
            point["step"] = step
            point |= {"accuracy": row["value"], "accuracy_stderr": row["stderr"], "accuracy_n": row["n"]}
            flat = trace.get(step, {})
            point |= {"trace": flat.get("value"), "trace_stderr": flat.get("stderr"), "trace_n": flat.get("n")}
            point |= {key: kl.get(step, {}).get(key) for key in ("kl", "kl_stderr")}
            point["saturated"] = is_saturated(kl.get(step), run.config.threshold)
            points.append(point | {"satlab": ", ".join(versions_of([row, flat] if flat else [row]))})
    return points


def baselines_of(rows: list[Row], task: str) -> list[Row]:
    """A task's baselines, one row each: several runs may have measured the same one."""
    return list({row["method"]: row for row in rows if row["method"] in BASELINES and row.get("task") == task}.values())


def versions_of(rows: Iterable[Row]) -> list[str]:
    """The versions of satlab that measured the rows; "unknown" for rows that do not say."""
    return sorted({str(row.get("satlab") or "unknown") for row in rows})
