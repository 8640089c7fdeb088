"""Gathers the content of a report from recorded metrics, results and settings. Loads no model."""

import math
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ... import __version__
from ...system.disk import printable
from ...system.yaml_files import read_yaml
from ...train import TrainConfig
from ..analysis.algorithm import algorithm
from ..analysis.checkpoint_table import ends_saturated, is_saturated, kl_by_step, points_of, recorded, versions_of
from ..analysis.comparison import correlations_of, in_words
from ..analysis.notices import notices_of
from ..analysis.rescaling import rescalings, said_of_rescaling
from ..analysis.results import named, once_each
from ..analysis.row_selection import described, one_setting, panel_of, setting_of
from ..file_names import CONFIG, STUDY_FILE
from ..measurements.measure import BASELINES
from ..runs.run import METRICS, RESULTS, Run
from .at_equal_kl import matched_section
from .files import files_of, link, published_in

Row = dict[str, Any]

QUESTION = "Among models that have reached the same pre-training loss, does the flatter one do better downstream?"
"""The question of a study that does not state one."""

CURVE = ("step", "kl", "kl_stderr", "n", "loss", "saturated")
"""The columns of a row of metrics that a learning curve shows."""

MEASUREMENT = (
    *("run", "step", "what", "method", "task", "block", "layer", "position", "value", "stderr", "n", "unit"),
    *("settings", "satlab"),
)
"""The columns of a row of results that the page lists."""


def collect(folders: list[Path], page: Path) -> dict[str, Any]:
    """Everything that the page shows.

    Args:
        folders: runs or studies.
        page: the report's file, to which links are relative.

    Returns:
        name -> value, fit for JSON; numbers that are not finite are texts.

    Raises:
        InputError: as `recorded` does, and for a damaged comparison with published numbers.
    """
    runs, rows = recorded(folders)
    folders = once_each(folders)
    chosen = one_setting(rows)
    by_name = named(runs)
    here = {name: [row for row in chosen if row["run"] == name] for name in by_name}
    tasks = sorted({panel_of(row) for row in chosen if row["what"] == "probe"})
    points = points_of(runs, chosen)
    correlations = correlations_of(points)
    differing = _differing([run.config for run in runs])
    found = {
        "title": ", ".join(dict.fromkeys(printable(folder.resolve().name) for folder in folders)),
        "question": " ".join(dict.fromkeys(_questions(folders))) or QUESTION,
        "language": runs[0].source,
        "satlab": __version__,
        "notices": notices_of(runs, rows),
        "versions": versions_of(rows),
        "tasks": tasks,
        "runs": [_run(name, run, here[name], differing, page) for name, run in by_name.items()],
        "curves": {
            name: [{key: row.get(key) for key in CURVE} for row in run.metrics] for name, run in by_name.items()
        },
        "checkpoints": [row for name, run in by_name.items() for row in _checkpoints(name, run, here[name])],
        "baselines": _baselines(chosen),
        "correlations": correlations,
        "words": {task: in_words(correlations, task) for task in tasks},
        "matched": matched_section(points),
        "shown": _measured_by(chosen),
        "rescaled": rescalings(chosen),
        "rescaled_words": said_of_rescaling(chosen),
        "measurements": [{key: row.get(key) for key in MEASUREMENT} for row in rows],
        "published": published_in(folders, page),
        "files": files_of(folders, page),
    }
    return {key: _json(value) for key, value in found.items()}


def _questions(folders: list[Path]) -> list[str]:
    contents = [read_yaml(folder / STUDY_FILE) for folder in folders if (folder / STUDY_FILE).is_file()]
    return [content["question"] for content in contents if isinstance(content.get("question"), str)]


def _differing(configs: list[TrainConfig]) -> list[str]:
    """The settings in which the runs differ, except the seed, which has its own column."""
    values = [asdict(config) for config in configs]
    return [key for key in values[0] if key != "seed" and any(value[key] != values[0][key] for value in values)]


def _run(name: str, run: Run, here: list[Row], differing: list[str], page: Path) -> Row:
    config, kl = asdict(run.config), kl_by_step(run, here)
    last = kl[max(kl)] if kl else {}
    first = next((row["step"] for row in run.metrics if row.get("saturated")), None)
    files = [run.folder / file for file in (CONFIG, METRICS, RESULTS)]
    return {
        "name": name,
        "model": run.model,
        "parameters": next((row["parameters"] for row in here if row.get("parameters")), None),
        "seed": run.config.seed,
        "algorithm": algorithm(run.config),
        "threshold": run.config.threshold,
        "step": max(kl) if kl else None,
        "kl": last.get("kl"),
        "kl_stderr": last.get("kl_stderr"),
        "kl_n": last.get("n"),
        "saturated": ends_saturated(run, here),
        "saturated_from": first,
        "differs": {key: config[key] for key in differing},
        "config": config,
        "link": link(run.folder, page),
        "files": [{"name": file.name, "link": link(file, page)} for file in files if file.is_file()],
    }


def _checkpoints(name: str, run: Run, here: list[Row]) -> Iterable[Row]:
    """A row for each measured checkpoint: KL, the total Tr(H), and each task's accuracy."""
    kl = kl_by_step(run, here)
    for step in sorted({row["step"] for row in here}):
        now = [row for row in here if row["step"] == step]
        trace = next((row for row in now if row["what"] == "hessian_trace" and row["block"] == "total"), {})
        known = kl.get(step, {})
        yield {
            "run": name,
            "step": step,
            "kl": {"value": known.get("kl"), "stderr": known.get("kl_stderr"), "n": known.get("n")},
            "fresh": any(row["what"] == "kl" for row in now),
            "saturated": is_saturated(kl.get(step), run.config.threshold),
            "trace": _estimate(trace),
            "accuracy": {panel_of(row): _estimate(row) for row in now if row["what"] == "probe"},
            "satlab": ", ".join(versions_of(now)),
        }


def _estimate(row: Row) -> Row:
    return {key: row.get(key) for key in ("value", "stderr", "n")}


def _baselines(chosen: list[Row]) -> list[Row]:
    """The baselines, each once, because several runs may have measured the same one."""
    rows = {(panel_of(row), row["method"]): row for row in chosen if row["method"] in BASELINES}
    keys = ("method", "value", "stderr", "n", "satlab")
    return [{"task": name[0]} | {key: rows[name].get(key) for key in keys} for name in sorted(rows)]


def _measured_by(chosen: list[Row]) -> Row:
    """The method and settings behind each quantity on the page: "KL", "Tr(H)" or the name of a panel -> text."""
    titles = {"kl": "KL", "hessian_trace": "Tr(H)"}
    rows = [row for row in chosen if row["method"] not in BASELINES]
    found = {titles[row["what"]]: row for row in rows if row["what"] in titles}
    found |= {panel_of(row): row for row in rows if row["what"] == "probe"}
    return {title: described(*setting_of(row)) for title, row in found.items()}


def _json(value: Any) -> Any:
    """The value with nan and infinity as texts, because JSON has no such numbers."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
