"""A study of a theorem on systems of its own: its file names an experiment instead of a language and models.

    experiment: brackets:networks=8
    question: Does the flattest network transfer?

The directory holds what `satlab experiment` writes, and is gone on with in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, placed
from ...theory.experiment import Experiment, experiments
from ..analysis.results import write_csv
from ..figures.experiment import draw_experiment
from ..measurements.experiment import columns_of, experiment_of, means_of, run_experiment
from ..reading import from_mapping
from .config import study_file

KEY = "experiment"
"""The key that tells such a study from a grid of models."""


@dataclass(frozen=True)
class ExperimentStudy:
    """An experiment on a theorem.

    Args:
        experiment: NAME or NAME:setting=value,... as `satlab experiment` takes it.
        question: what the study asks, in a sentence; it stands above the figure.
    """

    experiment: str
    question: str | None = None

    def __post_init__(self) -> None:
        with placed(KEY):
            experiment_of(self.experiment)


@dataclass(frozen=True)
class Written:
    """What an experiment leaves in its directory.

    Args:
        rows: the rows of all cells.
        figures: PNG and PDF.
        tables: as CSV.
    """

    rows: list[dict[str, Any]]
    figures: list[Path]
    tables: list[Path]


def load_experiment(source: str) -> ExperimentStudy | None:
    """The study of an experiment by its path, or by the name of one that ships with satlab.

    Args:
        source: the path or name.

    Returns:
        The study; None where the file is one of models.

    Raises:
        InputError: for a study that does not exist, an unknown key, and an experiment or setting that nobody knows.
    """
    path, content = study_file(source)
    return from_mapping(ExperimentStudy, content, str(path)) if KEY in content else None


def conclude_experiment(
    spec: str, out: Path, question: str | None = None, on_cell: Callable[[str], object] = lambda name: None
) -> Written:
    """Computes what is missing, then draws the figure and writes the tables.

    Args:
        spec: NAME or NAME:setting=value,...
        out: the directory.
        question: what stands above the figure.
        on_cell: called with the name of each cell that has ended.

    Returns:
        The rows and the files.

    Raises:
        InputError: as `run_experiment`.
    """
    experiment: Experiment = experiment_of(spec)
    rows = run_experiment(spec, out, on_cell)
    place = out / experiments.name_of(experiment)
    *figures, table = draw_experiment(rows, experiment.panels, columns_of(rows), place, question)
    tables = [table]
    if experiment.means is not None:
        means = means_of(rows, experiment.means)
        tables.append(place.with_name(f"{place.name}-means.csv"))
        write_csv(means, columns_of(means), tables[-1])
    return Written(rows, figures, tables)


def cells_of(spec: str) -> list[dict[str, Any]]:
    """What each cell of an experiment is, by its number."""
    names = experiment_of(spec).cells()
    return [{"cell": number, "of": len(names), "name": name} for number, name in enumerate(names)]


def do_cell(spec: str, out: Path, number: int) -> dict[str, Any]:
    """Computes one cell, unless it is there. Cells may be done side by side on several machines.

    Args:
        spec: NAME or NAME:setting=value,...
        out: the directory.
        number: of the cell, from 0 on.

    Returns:
        What the cell is.

    Raises:
        InputError: for a cell that does not exist, and as `run_experiment`.
    """
    cells = cells_of(spec)
    if not 0 <= number < len(cells):
        raise InputError(f"cell {number}: expected 0 to {len(cells) - 1}; --cells lists them")
    run_experiment(spec, out, only=cells[number]["name"])
    return cells[number]
