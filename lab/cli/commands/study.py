"""Train and measure a grid of models side by side, then draw the figures and write the report.

A study that names an experiment on a theorem instead of models computes its cells and draws its figure. With --cell a
batch system's array job does one cell, on whichever machine; the same command without it then does what is left, and
gathers all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import InputError
from ...reading import STUDY
from ..arguments import Arguments, Given

if TYPE_CHECKING:
    from ...studies.config import StudyConfig
    from ...studies.experiment import ExperimentStudy

SHIPPED = Path(__file__).parents[3] / "studies"

CELL_HELP = "do this cell alone, in this process: train and measure one model, or one task's baselines; counted from 0"
DEVICE_HELP = (
    "cpu or cuda, instead of what the study says; a GPU takes one cell at a time unless --workers says otherwise"
)
CACHE_HELP = "directory for features that do not fit in memory, instead of what the study says"


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab study`."""
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml")))
    study = f"a study's YAML file, or the name of one that ships with satlab: {shipped}"
    arguments.add_argument("study", help=study)
    arguments.add_argument("--out", required=True, help="directory to write; an unfinished one is continued")
    workers = "cells side by side; all cores (ray: the cluster's) unless given"
    arguments.add_argument("--workers", type=int | None, help=workers)
    engine = "local: processes of this machine; ray: an existing Ray cluster, whose machines must all see OUT"
    arguments.add_argument("--engine", default="local", help=engine)
    arguments.add_argument("--cell", type=int | None, help=CELL_HELP)
    arguments.add_argument("--device", type=str | None, help=DEVICE_HELP)
    arguments.add_argument("--cache", type=str | None, help=CACHE_HELP)
    arguments.add_flag("--cells", help="print what each cell is, a line for each; write nothing")


def run(given: Given) -> int:
    """Does the study, one of its cells, or lists these; the exit status is 1 where a cell failed."""
    from ...studies.config import load_study
    from ...studies.experiment import load_experiment

    experiment = load_experiment(given.study)
    if experiment is not None:
        return _experiment(given, experiment, Path(given.out))
    config = load_study(given.study)
    with _naming(given.study):
        return _do(given, config, Path(given.out))


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Errors in the study have its path or name for their outermost place."""
    try:
        yield
    except InputError as error:
        if error.place[:1] != (STUDY,):
            raise
        raise error.at(source, *error.place[1:]) from None


def _do(given: Given, config: "StudyConfig", out: Path) -> int:
    from ....system.processes import check_workers
    from ....system.ray_cluster import check_tasks
    from ....train.parallel.world import World
    from ...messages import command_line, say_next
    from ...studies.conclusion import check_conclusion
    from ...studies.executors import check_engine
    from ...studies.series import check_series, run_series_cell, series_cells
    from ...studies.slurm_array import cells_of, run_cell
    from ...studies.study import check_study, run_study
    from ..output import print_row
    from ..progress import StudyProgress, progress_bar

    config = replace(config, device=given.device or config.device, cache=_cache(given.cache or config.cache))
    check_engine(given.engine)
    one_language = not config.vary
    if one_language:
        check_conclusion(config)
    if given.cells:
        check_study(config, out) if one_language else check_series(config, out)
        for cell in cells_of(config) if one_language else series_cells(config):
            print_row(cell)
        return 0
    if given.engine == "local":
        World().device(config.device)
    if given.cell is not None:
        if given.workers is not None or given.engine != "local":
            raise InputError("--cell works in one process, expected no --workers nor --engine with it; leave them out")
        with progress_bar(None, "parts") as bar:
            do_cell = run_cell if one_language else run_series_cell
            print_row({"study": given.out} | do_cell(config, out, given.cell, StudyProgress(bar)))
        say_next(out, command_line("study", given.study, "--out", given.out))
        return 0
    if given.workers is not None:
        check_workers(given.workers) if given.engine == "local" else check_tasks(given.workers)
        config = replace(config, workers=given.workers)
    if not one_language:
        return _series(given, config, out)
    with progress_bar(None, "cells") as bar:
        failures = run_study(config, out, StudyProgress(bar), given.engine)
    return _conclude(config, given.out, out, failures)


def _experiment(given: Given, study: "ExperimentStudy", out: Path) -> int:
    """Does an experiment, or one of its cells, or lists these.

    Args:
        given: what the command was given.
        study: the experiment.
        out: its directory.

    Returns:
        The exit status.

    Raises:
        InputError: for options of a study of models, and as `run_experiment`.
    """
    from ...messages import command_line, say_next
    from ...studies.experiment import cells_of, conclude_experiment, do_cell
    from ..output import print_row
    from ..progress import cells_on, progress_bar

    for name, plain in (("workers", None), ("device", None), ("cache", None), ("engine", "local")):
        if getattr(given, name) != plain:
            raise InputError(f"--{name} with an experiment, expected none: its cells are done one by one; leave it out")
    if given.cells:
        for cell in cells_of(study.experiment):
            print_row(cell)
        return 0
    if given.cell is not None:
        print_row({"study": given.out} | do_cell(study.experiment, out, given.cell))
        say_next(out, command_line("study", given.study, "--out", given.out))
        return 0
    with progress_bar(None, "cells") as bar:
        on_cell = cells_on(bar, len(cells_of(study.experiment)))
        written = conclude_experiment(study.experiment, out, study.question, on_cell)
    found = {"results": str(written.tables[0]), "figures": [str(path) for path in written.figures + written.tables]}
    print_row({"study": given.out} | found | {"report": None})
    say_next(written.figures[0])
    return 0


def _series(given: Given, config: "StudyConfig", out: Path) -> int:
    """Does a series of studies, one language after the other, and draws what they say together.

    Args:
        given: what the command was given.
        config: the series.
        out: its directory.

    Returns:
        The exit status: 1 if cells failed.

    Raises:
        InputError: as `run_series` does.
    """
    from ...messages import fail
    from ...studies.series import conclude_series, run_series
    from ..output import print_row
    from ..progress import StudyProgress, progress_bar

    with progress_bar(None, "cells") as bar:
        failures = run_series(config, out, StudyProgress(bar), given.engine)
    for failure in failures:
        fail(failure)
    written = conclude_series(config, out)
    print_row({"study": given.out, "figures": [str(path) for path in written]})
    return 1 if failures else 0


def _cache(given: str | None) -> str | None:
    """The full path, for processes that work in other directories."""
    return None if given is None else str(Path(given).resolve())


def _conclude(config: "StudyConfig", name: str, out: Path, failures: list[str]) -> int:
    """Draws and reports what was measured, and prints where it is.

    Args:
        config: the study.
        name: its directory, as given.
        out: its directory.
        failures: a line for each cell that failed.

    Returns:
        The exit status: 1 if cells failed.

    Raises:
        InputError: if nothing was recorded although no cell failed.
    """
    from ...messages import fail, say, say_next
    from ...studies.conclusion import conclude
    from ..output import print_row, warn_of

    written: list[Path] = []
    page = None
    say("drawing the figures and writing the report")
    try:
        written, page, notices = conclude(config, out)
        warn_of(notices)
    except InputError:
        if not failures:
            raise
    for failure in failures:
        fail(failure)
    found = {"results": str(out / "results.csv"), "figures": [str(path) for path in written]}
    print_row({"study": name} | found | {"report": None if page is None else str(page)})
    if failures:
        return 1
    say_next(page or name, "open it in a browser")
    return 0
