"""A study: a grid of models trained side by side, measured, and drawn. Every cell can be interrupted and gone on with.

DIR/study.yaml  DIR/runs/MODEL-seedS/  DIR/baselines.jsonl  DIR/results.parquet  DIR/results.csv  DIR/figures/
"""

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ...errors import DivergedError, InputError, StoppedError, at_least, placed
from ...generators import Language, load_language
from ...system.disk import only_writer, write_atomic
from ...system.signals import StopRequest
from ...train import TrainConfig, checkpoints
from ...train.checkpoint import read_state
from ..analysis.results import rows_in, write_tables
from ..file_names import STUDY_FILE
from ..reading import STUDY
from ..runs.origin import Origin
from ..runs.run import Run, check_run, create_run
from .averages import check_averages, following, trained_models
from .checks import check_names, check_same_language, check_settings, run_name
from .config import StudyConfig
from .executors import pool_of, reached
from .jobs import Cell, baselines, timed, train_cell, training
from .models import model_of, origin_key, train_config
from .progress import Ended, Progress, Report

RunPlan = tuple[Path, Any, str, TrainConfig, int | None, Origin | None]
"""Directory, language, model, training, max_length, and the end of another run with which it begins."""

MOST_NAMED = 4
"""Unfinished runs that a message names."""


def prepare(study: StudyConfig, out: Path) -> list[Run]:
    """Makes the study's runs where they are not there yet. Everything is checked before anything is written.

    Args:
        study: its settings.
        out: its directory.

    Returns:
        The runs.

    Raises:
        InputError: for a language, model, task, method or setting that does not exist or that a measurement would
            refuse, and where `out` holds something else, or a study or run of another language.
    """
    grid = _checked(study, out)
    out.mkdir(parents=True, exist_ok=True)
    return _begun(study, out, grid)


def _checked(study: StudyConfig, out: Path) -> list[RunPlan]:
    """What `create_run` is told of each run, once everything is checked as by `prepare`; writes nothing."""
    grid = [how for _, how in check_study(study, out)]
    for how in grid:
        check_run(*how)
    return grid


def _begun(study: StudyConfig, out: Path, grid: list[RunPlan]) -> list[Run]:
    write_atomic(out / STUDY_FILE, as_yaml(study))
    return [create_run(*how) for how in grid]


def check_study(study: StudyConfig, out: Path) -> list[tuple[str, RunPlan]]:
    """Checks everything about a study but what `check_run` does. Writes nothing.

    Args:
        study: its settings.
        out: its directory.

    Returns:
        (key of `models`, what `create_run` is told) by model and seed.

    Raises:
        InputError: as `prepare`.
    """
    check_place(out, STUDY_FILE)
    if not study.models or not study.seeds:
        raise InputError("no models or no seeds, expected at least one of each; add them", STUDY)
    for name, values in (("seeds", study.seeds), ("tasks", study.tasks), ("theorems", study.theorems)):
        if len(set(values)) < len(values):
            raise InputError(f"{name} are {values}, expected each once; remove the repeated one", STUDY)
    if study.workers is not None:
        at_least("workers", study.workers, 1)
    check_names(study, out)
    language = language_of(study)
    check_settings(study, language, {name: model_of(study, name) for name in study.models})
    check_same_language(study, language, out)
    grid = [
        (
            name,
            (
                run_folder(out, name, seed),
                study.language,
                model_of(study, name),
                train_config(study, name, seed),
                study.max_length,
                _origin(study, out, name, seed),
            ),
        )
        for name in trained_models(study)
        for seed in study.seeds
    ]
    check_averages(study, out, {name: how[3] for name, how in grid})
    return grid


def _origin(study: StudyConfig, out: Path, name: str, seed: int) -> Origin | None:
    """The end of another run of the study with which a run begins; None for one with weights of its own."""
    key, phase = origin_key(study, name), 0
    above = key
    while above is not None:
        above, phase = origin_key(study, above), phase + 1
    return None if key is None else Origin(str(run_folder(out, key, seed).resolve()), phase)


def language_of(study: StudyConfig) -> Language:
    """The study's language.

    Args:
        study: its settings.

    Returns:
        The language.

    Raises:
        InputError: as `load_language`; where the study itself describes the language, with that place.
    """
    inline = isinstance(study.language, Mapping)
    with placed(STUDY, "language") if inline else nullcontext():
        return load_language(study.language, study.max_length)


def check_place(out: Path, file: str) -> None:
    """Checks that a directory is free for a study or series, or holds one.

    Args:
        out: the directory, which need not exist.
        file: the name of the file that says what the directory holds.

    Raises:
        InputError: where it holds something else.
    """
    # Another cell may be about to write the file: what it writes first begins with the same name.
    free = not out.exists() or (out.is_dir() and all(path.name.startswith(f".{file}.") for path in out.iterdir()))
    if not free and not (out / file).is_file():
        raise InputError(f"{out} holds something else, expected a new or empty directory; choose another --out")


def as_yaml(study: StudyConfig) -> str:
    """What study.yaml holds."""
    return yaml.safe_dump(json.loads(json.dumps(asdict(study))), sort_keys=False)


def run_folder(out: Path, model: str, seed: int) -> Path:
    """The directory of a study's run; model: a key of the study's `models`."""
    return out / "runs" / run_name(model, seed)


def run_study(study: StudyConfig, out: Path, report: Report, engine: str = "local") -> list[str]:
    """Trains and measures every cell, then writes the tables.

    Args:
        study: its settings.
        out: its directory.
        report: told whenever a cell is done, and the news of the runs in training.
        engine: where cells are done; see `pool_of`.

    Returns:
        A line for each cell that failed.

    Raises:
        InputError: as `prepare`, and where another process does a study in the same directory and does not end.
    """
    with reached(engine):
        grid = _checked(study, out)
        out.mkdir(parents=True, exist_ok=True)
        with only_writer(out):
            # The machines of a cluster look for it from another place.
            failures = _run(study, out if engine == "local" else out.resolve(), report, engine, grid)
            write_tables(rows_in([out]), out)
    return failures


def _run(study: StudyConfig, out: Path, report: Report, engine: str, grid: list[RunPlan]) -> list[str]:
    # While it waited for another one to end, that may have been a study of another language.
    check_study(study, out)
    runs = _begun(study, out, grid)
    first = [run for run in runs if run.origin is None]
    todo = [*training(first, study.device), *(baselines(out, study, task) for task in study.tasks)]
    progress = Progress(study, runs, todo, report)
    progress.news()
    failures = []
    with StopRequest() as stop:
        for ended in _work_off(study, out, engine, todo, runs, stop):
            if ended is None:
                progress.news()
                continue
            progress.ended(ended)
            if ended.error is not None:
                failures.append(ended.title)
        if stop() and progress.done < progress.total:
            raise StoppedError(f"stopped at {progress.done} of {progress.total} cells", _left(runs))
    return failures


def _work_off(
    study: StudyConfig, out: Path, engine: str, todo: list[Cell], runs: list[Run], stop: StopRequest
) -> Iterator[Ended | None]:
    """Does all cells side by side until it is to stop.

    A run that is trained gives rise to its measurements, averages of its weights, and runs that begin with its end.

    Args:
        study: its settings.
        out: its directory.
        engine: where cells are done.
        todo: the cells to begin with.
        runs: all runs of the study.
        stop: whether to stop.

    Yields:
        Each cell that has ended, and None once a second while none does.
    """
    waiting: dict[Future[float], Cell] = {}
    with pool_of(engine, study, out, stop) as pool:
        waiting = {pool.submit(timed, cell[1], *cell[2]): cell for cell in todo}
        while waiting and not stop():
            ended, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
            if not ended:
                yield None
            for future in ended:
                cell, failure, seconds = waiting.pop(future), None, 0.0
                try:
                    seconds = future.result()
                except (InputError, DivergedError) as error:
                    failure = error
                then = [*_next_phase(cell, study, runs), *following(study, cell, not isinstance(failure, InputError))]
                waiting.update({pool.submit(timed, cell[1], *cell[2]): cell for cell in then})
                yield Ended(cell, then, seconds, failure)


def _next_phase(cell: Cell, study: StudyConfig, runs: list[Run]) -> list[Cell]:
    """The trainings that begin with the end of a run, once a cell has trained it."""
    if cell[1] is not train_cell:
        return []
    name = cell[2][0].name
    return training([run for run in runs if run.origin is not None and Path(run.origin.run).name == name], study.device)


def _left(runs: list[Run]) -> str:
    """Which runs are not trained to their end, and how to go on."""
    left = []
    for run in runs:
        found = checkpoints(run.folder, kept_only=False)
        if not found or not (read_state(found[-1][1]) or {}).get("finished"):
            left.append(f"{run.folder.name} at step {found[-1][0] if found else 0} of {run.config.steps}")
    named = ", ".join(left[:MOST_NAMED]) + (f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else "")
    return f"left to train: {named or 'none'}; run the same command again to go on"
