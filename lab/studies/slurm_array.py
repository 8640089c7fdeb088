"""One cell of a study by itself, for array jobs: a run with all its measurements, or a task's baselines."""

from pathlib import Path
from typing import Any

import torch

from ...errors import DivergedError, InputError
from ...system.disk import write_atomic
from ...system.signals import StopRequest
from ..file_names import STUDY_FILE
from ..runs.run import check_run, create_run
from ..runs.training import train_run
from .averages import following, trained_models
from .config import StudyConfig
from .jobs import baselines, train_cell
from .models import model_of
from .progress import Report
from .study import RunPlan, as_yaml, check_study, run_folder


def cells_of(study: StudyConfig) -> list[dict[str, Any]]:
    """What each cell is, by its number: the runs in the order of models and seeds, then the tasks."""
    # An average is made in the cell of the run whose weights it averages.
    cells: list[dict[str, Any]] = [
        {"train": run_folder(Path(), name, seed).name, "model": model_of(study, name), "seed": seed}
        for name in trained_models(study)
        for seed in study.seeds
    ]
    cells += [{"baselines": task} for task in study.tasks]
    return [{"cell": number, "of": len(cells)} | cell for number, cell in enumerate(cells)]


def run_cell(study: StudyConfig, out: Path, number: int, report: Report) -> dict[str, Any]:
    """Does one cell in this process, as far as it is not done. Cells may run side by side on several machines.

    Args:
        study: its settings.
        out: its directory.
        number: of the cell.
        report: told whenever a part is done.

    Returns:
        What the cell is.

    Raises:
        InputError: as `prepare`, and for a cell that does not exist.
        DivergedError: where training diverged, once the checkpoints before are measured.
    """
    grid, cells = check_study(study, out), cells_of(study)
    if not 0 <= number < len(cells):
        raise InputError(f"cell {number}: expected 0 to {len(cells) - 1}; --cells lists them")
    cell = cells[number]
    if number >= len(grid):
        _begin(study, out)
        _, function, arguments = baselines(out, study, cell["baselines"])
        function(*arguments)
        return cell
    how = grid[number][1]
    check_run(*how)
    _begin(study, out)
    *before, run = [create_run(*plan) for plan in _phases(grid, number)]
    failure = None
    try:
        with StopRequest() as stop:
            for phase in (*before, run):
                train_run(phase, study.device, should_stop=stop)
    except DivergedError as error:
        # What came before is measured all the same.
        failure = error
    torch.set_num_threads(1)
    with StopRequest():
        parts = following(study, (f"train {run.folder.name}", train_cell, (run.folder, study.device)))
        report(f"train {run.folder.name}", 1, 1 + len(parts), None)
        for done, part in enumerate(parts, start=2):
            title, function, arguments = part
            function(*arguments)
            parts += following(study, part)
            report(title, done, 1 + len(parts), None)
    if failure is not None:
        raise failure
    return cell


def _phases(grid: list[tuple[str, RunPlan]], number: int) -> list[RunPlan]:
    """The plan of a run, and before it those of the runs that it begins with.

    Args:
        grid: the plans of all runs.
        number: of the run.

    Returns:
        The plans, the first phase first. Training one that another cell is training at this moment is refused.
    """
    plans = {how[0].name: how for _, how in grid}
    chain = [grid[number][1]]
    while (origin := chain[0][-1]) is not None:
        chain.insert(0, plans[Path(origin.run).name])
    return chain


def _begin(study: StudyConfig, out: Path) -> None:
    """Makes the directory and notes the study there; other cells may do the same at this moment."""
    out.mkdir(parents=True, exist_ok=True)
    text = as_yaml(study)
    if not (out / STUDY_FILE).is_file() or (out / STUDY_FILE).read_bytes() != text.encode():
        write_atomic(out / STUDY_FILE, text)
