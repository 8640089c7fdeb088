"""The cells of a study: what is done by one process in one go. Each keeps its results, and is not done twice."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...generators import load_language
from ...models.ladder import count_parameters
from ...settings import with_choice
from ...system.signals import StopRequest
from ...train import checkpoints
from ..analysis.results import BASELINES_FILE
from ..measurements.flatness import measure_flatness
from ..measurements.kl import measure_kl
from ..measurements.probe import measure_baselines, measure_probe
from ..measurements.theorem import measure_theorem
from ..messages import follow
from ..runs.run import Run, load_run
from ..runs.training import train_run
from .config import MEASURED, StudyConfig

Cell = tuple[str, Callable[..., None], tuple[Any, ...]]
"""A title, a function that does the work and keeps its results, and its arguments."""


def training(runs: list[Run], device: str) -> list[Cell]:
    """The runs, the longest first, so that no single one is left over at the end."""
    return [
        (f"train {run.folder.name}", train_cell, (run.folder, device))
        for run in sorted(runs, key=work_of, reverse=True)
    ]


def measurements(folder: Path, study: StudyConfig) -> list[Cell]:
    """KL, flatness and probes of every checkpoint of a trained run.

    Where traces are compared across sizes, the last checkpoint is also measured under rescalings, which show how far
    the trace depends on the parametrisation alone.

    Args:
        folder: the run.
        study: what is measured.

    Returns:
        The cells.
    """
    cells: list[Cell] = []
    kept = checkpoints(folder)
    for step, _ in kept:
        name, given = f"{folder.name} step {step}", (folder, study, step)
        if "kl" in study.measure:
            cells.append((f"kl {name}", _kl, given))
        if "flatness" in study.measure:
            cells.append((f"flatness {name}", _flatness, given))
        if study.enlarge_to is not None:
            cells.append((f"flatness {name} in {study.enlarge_to}", _enlarged, given))
        if "probe" in study.measure:
            cells += [(f"probe {task} {name}", _probe, (*given, task)) for task in study.tasks]
        cells += [(f"theorem {spec} {name}", _theorem, (*given, spec)) for spec in study.theorems]
    if kept and study.enlarge_to is not None:
        step = kept[-1][0]
        cells.append((f"rescaling {folder.name} step {step}", _rescaling, (folder, study, step)))
    return cells


def planned_measurements(steps: int, study: StudyConfig) -> Counter[Callable[..., None]]:
    """Function -> how many measurements by it a run gets that keeps so many checkpoints."""
    enlarged = study.enlarge_to is not None
    counts: dict[Callable[..., None], int] = {_kl: steps, _flatness: steps, _probe: steps * len(study.tasks)}
    asked = zip(counts.items(), MEASURED, strict=True)
    of_each: Counter[Callable[..., None]] = Counter(dict(item for item, name in asked if name in study.measure))
    of_each[_theorem] = steps * len(study.theorems)
    return of_each + Counter({_enlarged: steps * enlarged, _rescaling: int(enlarged)})


def baselines(out: Path, study: StudyConfig, task: str) -> Cell:
    """What stands beside every probe of a task."""
    return f"baselines {task}", _baselines, (out, study, task)


def work_of(run: Run) -> float:
    """The operations of all steps of a training, up to a factor: steps x sentences x parameters."""
    count = count_parameters(run.model, run.language.vocab_size, run.language.max_length)
    return run.config.steps * run.config.batch_size * count.without_embeddings


def timed(function: Callable[..., None], *arguments: Any) -> float:
    """Calls the function; the seconds it took."""
    begin = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - begin


def train_cell(folder: Path, device: str) -> None:
    """In a worker: one that is asked to stop keeps where its run is and ends, so that it takes up no other cell."""
    follow()
    stop = StopRequest()
    try:
        with stop:
            train_run(load_run(folder), device, should_stop=stop)
    finally:
        if stop.signal is not None:
            os._exit(128 + stop.signal)
        torch.set_num_threads(1)


def _kl(folder: Path, study: StudyConfig, step: int) -> None:
    list(measure_kl(load_run(folder).on(study.device), study.evaluate, step))


def _flatness(folder: Path, study: StudyConfig, step: int) -> None:
    list(measure_flatness(load_run(folder).on(study.device), study.flatness, step))


def _enlarged(folder: Path, study: StudyConfig, step: int) -> None:
    list(measure_flatness(load_run(folder).on(study.device), study.flatness, step, study.enlarge_to))


def _rescaling(folder: Path, study: StudyConfig, step: int) -> None:
    config = with_choice(study.flatness, "invariance")
    list(measure_flatness(load_run(folder).on(study.device), config, step))


def _probe(folder: Path, study: StudyConfig, step: int, task: str) -> None:
    list(measure_probe(load_run(folder).on(study.device), task, study.probe, step, study.cache))


def _theorem(folder: Path, study: StudyConfig, step: int, spec: str) -> None:
    list(measure_theorem(load_run(folder).on(study.device), spec, step=step))


def _baselines(out: Path, study: StudyConfig, task: str) -> None:
    language = load_language(study.language, study.max_length).to(study.device)
    list(measure_baselines(language, task, study.probe, out / BASELINES_FILE, study.cache))
