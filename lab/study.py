"""A study: a grid of models trained side by side, measured, and drawn. Every cell can be interrupted and gone on with.

DIR/study.yaml  DIR/runs/MODEL-seedS/  DIR/baselines.jsonl  DIR/results.parquet  DIR/results.csv  DIR/figures/
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from ..disk import write_atomic
from ..errors import DivergedError, InputError, WorkerError
from ..generators import load_language
from ..train import TrainConfig, checkpoints
from ..workers import process_pool
from .config import StudyConfig, at_least, from_mapping
from .measure import check_method, find_task, measure_baselines, measure_flatness, measure_kl, measure_probe
from .results import BASELINES_FILE, STUDY_FILE, rows_in, write_tables
from .run import Run, check_run, create_run, load_run, train_run

Cell = tuple[str, Callable[..., None], tuple[Any, ...]]
"""A title, a function that does the work and keeps its results, and its arguments."""

FAILED = "failed: "
"""How the message of a cell that ended with an error begins."""


def prepare(study: StudyConfig, out: Path) -> list[Run]:
    """The study's runs, made where they are not there yet. Everything is checked before anything is written.

    Raises InputError for a language, model, task, method or setting that does not exist, and where out holds something
    else.
    """
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / STUDY_FILE).is_file())):
        raise InputError(f"{out} holds something else, expected a new or empty directory; choose another --out")
    if not study.models or not study.seeds:
        raise InputError("the study has no models or no seeds, expected at least one of each; add them")
    for name, values in (("seeds", study.seeds), ("tasks", study.tasks)):
        if len(set(values)) < len(values):
            raise InputError(f"{name} are {values}, expected each once; remove the repeated one")
    if study.workers is not None:
        at_least("workers", study.workers, 1)
    language = load_language(study.language, study.max_length)
    for task in study.tasks:
        find_task(language, task)
    check_method(study.flatness.method)
    grid = [(model, train_config(study, model, seed)) for model in study.models for seed in study.seeds]
    for model, config in grid:
        check_run(out / "runs" / run_name(model, config.seed), study.language, model, config, study.max_length)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / STUDY_FILE, yaml.safe_dump(json.loads(json.dumps(asdict(study))), sort_keys=False))
    return [
        create_run(out / "runs" / run_name(model, config.seed), study.language, model, config, study.max_length)
        for model, config in grid
    ]


def train_config(study: StudyConfig, model: str, seed: int) -> TrainConfig:
    """The study's training with what the model changes of it."""
    changes = study.models[model] or {}
    if not isinstance(changes, Mapping):
        raise InputError(f"study, model {model}: is '{changes}', expected settings such as {{lr: 1.0e-3}}; correct it")
    if "seed" in changes:
        raise InputError(f"study, model {model}: has a seed of its own, expected the study's seeds; list it there")
    values = asdict(study.train) | dict(changes) | {"seed": seed}
    return from_mapping(TrainConfig, values, f"study, model {model}")


def run_name(model: str, seed: int) -> str:
    return f"{model}-seed{seed}"


def run_study(study: StudyConfig, out: Path, report: Callable[[str, int, int], None]) -> list[str]:
    """Trains and measures every cell, then writes the tables; the messages of cells that failed, in the end.

    report(message, cells done, cells in all) is called whenever a cell is done, and with news of the runs in training.
    """
    runs = prepare(study, out)
    # The longest first, so that no single run is left over at the end.
    todo: list[Cell] = [
        (f"train {run.folder.name}", _train, (run.folder,)) for run in sorted(runs, key=_work, reverse=True)
    ]
    todo += [(f"baselines {task}", _baselines, (out, study, task)) for task in study.tasks]
    # How many checkpoints a run will have is known once it has ended; until then, those it is to keep.
    planned = {run.folder: len(run.config.kept_steps) * (2 + len(study.tasks)) for run in runs}
    planned[out] = len(todo)
    failures, done = [], 0
    for message, ended in _work_off(study, todo, lambda: _news(runs)):
        if ended is not None:
            (_, function, arguments), cells = ended
            done += 1
            if function is _train:
                planned[arguments[0]] = len(cells)
        if message.startswith(FAILED):
            failures.append(message.removeprefix(FAILED))
        report(message, done, sum(planned.values()))
    write_tables(rows_in([out]), out)
    return failures


def _work_off(
    study: StudyConfig, todo: list[Cell], news: Callable[[], str]
) -> Iterator[tuple[str, tuple[Cell, list[Cell]] | None]]:
    """Does all cells, and the measurements of each run once it is trained, side by side.

    Yields (message, the cell that ended with what it gave rise to), and once a second (news, None) while none does.
    """
    try:
        with process_pool(study.num_workers) as pool:
            waiting: dict[Future[None], Cell] = {pool.submit(cell[1], *cell[2]): cell for cell in todo}
            while waiting:
                ended, _ = wait(waiting, timeout=1.0, return_when=FIRST_COMPLETED)
                if not ended:
                    yield news(), None
                for future in ended:
                    title, function, arguments = waiting.pop(future)
                    try:
                        future.result()
                    except (InputError, DivergedError) as error:
                        title = f"{FAILED}{title}: {error}"
                    cells = _measurements(arguments[0], study) if function is _train else []
                    waiting.update({pool.submit(cell[1], *cell[2]): cell for cell in cells})
                    yield title, ((title, function, arguments), cells)
    except BrokenProcessPool:
        raise WorkerError("a worker process was killed (out of memory?); run the same command again to go on") from None


def _measurements(folder: Path, study: StudyConfig) -> list[Cell]:
    """KL, flatness and probes of every checkpoint of a trained run."""
    cells: list[Cell] = []
    for step, _ in checkpoints(folder):
        name, given = f"{folder.name} step {step}", (folder, study, step)
        cells += [(f"kl {name}", _kl, given), (f"flatness {name}", _flatness, given)]
        cells += [(f"probe {task} {name}", _probe, (*given, task)) for task in study.tasks]
    return cells


def _work(run: Run) -> float:
    layers, width = run.model.split("-")[-1].split("x")
    return run.config.steps * run.config.batch_size * int(layers) * int(width) ** 2


def _news(runs: list[Run]) -> str:
    """The newest KL of each run that is still training."""
    rows = [(run, run.metrics[-1]) for run in runs if run.metrics]
    return ", ".join(
        f"{run.model} {row['step']}: KL {row['kl']:.4f}" for run, row in rows if row["step"] < run.config.steps
    )


def _train(folder: Path) -> None:
    train_run(load_run(folder))


def _kl(folder: Path, study: StudyConfig, step: int) -> None:
    list(measure_kl(load_run(folder), study.evaluate, step))


def _flatness(folder: Path, study: StudyConfig, step: int) -> None:
    list(measure_flatness(load_run(folder), study.flatness, step))


def _probe(folder: Path, study: StudyConfig, step: int, task: str) -> None:
    list(measure_probe(load_run(folder), task, study.probe, step))


def _baselines(out: Path, study: StudyConfig, task: str) -> None:
    language = load_language(study.language, study.max_length)
    list(measure_baselines(language, task, study.probe, out / BASELINES_FILE))
