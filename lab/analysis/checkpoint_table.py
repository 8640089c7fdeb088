"""The points that figures and reports show, made from recorded rows, and the test for saturation."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...estimate import ONE_SIDED_95
from ...system.yaml_files import read_yaml
from ..file_names import CONFIG
from ..measurements.measure import BASELINES, ENLARGED
from ..runs.run import METRICS, Run
from ..runs.trainings import root_of
from .algorithm import algorithm
from .results import named, rows_of, runs_in
from .row_selection import panel_of, setting_of

Row = dict[str, Any]

TRACES = {"hessian_trace": "trace", ENLARGED: "enlarged"}
"""Name of a trace in rows -> its name in points."""


def recorded(folders: list[Path]) -> tuple[list[Run], list[Row]]:
    """The runs in these directories and all of their rows.

    Args:
        folders: runs or studies.

    Returns:
        The runs, each training once, and the rows.

    Raises:
        InputError: if a directory is neither a run nor a study, nothing is recorded yet, or the runs are on different
            languages.
    """
    runs = runs_in(folders)
    rows = rows_of(folders, runs)
    if not any(run.metrics for run in runs):
        trained = next((run for run in runs if run.checkpoints), None)
        if trained is not None:
            lost = trained.folder / METRICS
            raise InputError(f"{lost}: holds no whole row, expected those of training; put the file back")
        raise InputError(f"{folders[0]}: no metrics yet, expected a trained run; train one first")
    if len({run.fingerprint for run in runs}) > 1:
        names = ", ".join(sorted({run.source for run in runs}))
        raise InputError(f"the runs are on different languages ({names}), expected one; take each language by itself")
    return runs, rows


def kl_by_step(run: Run, here: Iterable[Row]) -> dict[int, Row]:
    """KL at each step of a run: measured on fresh sentences or, without that, as recorded in training.

    Args:
        run: the run.
        here: the run's own rows.

    Returns:
        step -> kl and kl_stderr, nats.
    """
    kl = {row["step"]: row for row in run.metrics}
    fresh = [row for row in here if row["what"] == "kl"]
    return kl | {row["step"]: {"kl": row["value"], "kl_stderr": row["stderr"], "n": row["n"]} for row in fresh}


def is_saturated(kl: Mapping[str, Any] | None, threshold: float) -> bool:
    """Whether the upper 95 % bound of KL is below the threshold; False if KL is not known."""
    return kl is not None and kl["kl"] + ONE_SIDED_95 * kl["kl_stderr"] < threshold


def ends_saturated(run: Run, here: Iterable[Row]) -> bool:
    """Whether a run's last step is saturated."""
    kl = kl_by_step(run, here)
    return is_saturated(kl[max(kl)] if kl else None, run.config.threshold)


def points_of(runs: list[Run], rows: list[Row]) -> list[Row]:
    """One point for each checkpoint, task and probe: accuracy, with trace and KL if they were measured.

    Args:
        runs: the runs of the checkpoints.
        rows: the rows that `one_setting` selects.

    Returns:
        Rows with the keys run, root (equal for runs that share their first phase of training), model, parameters, task,
        algorithm, method and settings (of the probe), step; accuracy, trace and enlarged (the trace inside a larger
        model), each also with _stderr and _n; for both traces also _method and _settings; kl, kl_stderr, saturated,
        satlab. A value that was not measured is None.
    """
    points = []
    for name, run in named(runs).items():
        here = [row for row in rows if row["run"] == name]
        kl, trained = kl_by_step(run, here), algorithm(run.config)
        totals = {(row["what"], row["step"]): row for row in here if row["what"] in TRACES and row["block"] == "total"}
        probes = [row for row in here if row["what"] == "probe" and row["method"] not in BASELINES]
        for row in sorted(probes, key=lambda row: row["step"]):
            step = row["step"]
            point: Row = {
                "run": name,
                "root": root_of(run),
                "model": run.model,
                "parameters": row.get("parameters"),
                "task": row["task"],
                "algorithm": trained,
            }
            point |= {"method": row["method"], "settings": setting_of(row)[1], "step": step}
            point |= {"accuracy": row["value"], "accuracy_stderr": row["stderr"], "accuracy_n": row["n"]}
            flat = {short: totals.get((what, step), {}) for what, short in TRACES.items()}
            for short, total in flat.items():
                point |= {
                    short: total.get("value"),
                    f"{short}_stderr": total.get("stderr"),
                    f"{short}_n": total.get("n"),
                }
                how = setting_of(total) if total else (None, None)
                point |= {f"{short}_method": how[0], f"{short}_settings": how[1]}
            point |= {key: kl.get(step, {}).get(key) for key in ("kl", "kl_stderr")}
            point["saturated"] = is_saturated(kl.get(step), run.config.threshold)
            points.append(point | {"satlab": ", ".join(versions_of([row, *filter(None, flat.values())]))})
    return points


def baselines_of(rows: list[Row], panel: str) -> list[Row]:
    """The baselines in a panel."""
    return [row for row in rows if row["method"] in BASELINES and panel_of(row) == panel]


def versions_of(rows: Iterable[Row]) -> list[str]:
    """The versions of satlab that measured the rows; "unknown" for rows that do not name one."""
    return sorted({str(row.get("satlab") or "unknown") for row in rows})


def trained_by(runs: list[Run]) -> dict[str, str]:
    """Name of each run -> the version of satlab that made it; "unknown" if it does not name one."""
    return {name: str(read_yaml(run.folder / CONFIG).get("satlab", "unknown")) for name, run in named(runs).items()}
