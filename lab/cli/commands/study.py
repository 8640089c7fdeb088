"""Train and measure a grid of models side by side, then draw the figures and write the report.

With --cell a batch system's array job does one cell, on whichever machine; the same command without it then does what
is left, and gathers all.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from jsonargparse import ArgumentParser, Namespace

from ....errors import InputError
from ....system.processes import check_workers
from ....system.ray_cluster import check_tasks
from ....train.parallel.world import World
from ...analysis.model_table import wide_rows
from ...analysis.published import compare, read_published, write_comparison
from ...analysis.results import rows_of, runs_in
from ...analysis.row_selection import one_setting
from ...figures import draw as figures
from ...figures import paper
from ...report.write import REPORT, write_report
from ...studies.config import StudyConfig, load_study
from ...studies.executors import check_engine
from ...studies.slurm_array import cells_of, run_cell
from ...studies.study import check_study, run_folder, run_study
from ..output import print_row, warn
from ..progress import progress_bar

Report = Callable[[str, int, int], None]


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab study`."""
    parser.add_argument("study", type=str, help="a study's YAML file, or the name of one that ships with satlab: demo")
    parser.add_argument("--out", type=str, required=True, help="directory to write; an unfinished one is gone on with")
    workers = "cells side by side; all cores (ray: the cluster's) unless given"
    parser.add_argument("--workers", type=int | None, default=None, help=workers)
    engine = "local: processes of this machine; ray: an existing Ray cluster, whose machines must all see OUT"
    parser.add_argument("--engine", type=str, default="local", help=engine)
    cell = "do this cell alone, in this process: train and measure one model, or one task's baselines; counted from 0"
    parser.add_argument("--cell", type=int | None, default=None, help=cell)
    device = (
        "cpu or cuda, instead of what the study says; a GPU takes one cell at a time unless --workers says otherwise"
    )
    parser.add_argument("--device", type=str | None, default=None, help=device)
    cache = "directory for features that do not fit in memory, instead of what the study says"
    parser.add_argument("--cache", type=str | None, default=None, help=cache)
    parser.add_argument("--cells", action="store_true", help="print what each cell is, a line for each; write nothing")


def run(given: Namespace) -> int:
    config = load_study(given.study)
    with _naming(given.study):
        return _do(given, config, Path(given.out))


@contextmanager
def _naming(source: str) -> Iterator[None]:
    """Errors that begin with "study, " and a place in it begin with its path or name instead."""
    try:
        yield
    except InputError as error:
        if not str(error).startswith("study, "):
            raise
        raise type(error)(source + str(error).removeprefix("study")) from None


def _do(given: Namespace, config: StudyConfig, out: Path) -> int:
    config = replace(config, device=given.device or config.device, cache=_cache(given.cache or config.cache))
    check_engine(given.engine)
    paper.check_forms(config.form)
    read_published(config.published, config.models, config.tasks, config.enlarge_to)
    if given.cells:
        check_study(config, out)
        for cell in cells_of(config):
            print_row(cell)
        return 0
    if given.engine == "local":
        World().device(config.device)
    if given.cell is not None:
        if given.workers is not None or given.engine != "local":
            raise InputError("--cell works in one process, expected no --workers nor --engine with it; leave them out")
        with progress_bar(None, "parts") as bar:
            print_row({"study": given.out} | run_cell(config, out, given.cell, _reporting(bar)))
        return 0
    if given.workers is not None:
        check_workers(given.workers) if given.engine == "local" else check_tasks(given.workers)
        config = replace(config, workers=given.workers)
    with progress_bar(None, "cells") as bar:
        failures = run_study(config, out, _reporting(bar), given.engine)
    return _conclude(config, given.out, out, failures)


def _cache(given: str | None) -> str | None:
    """The full path, for processes that work in other directories."""
    return None if given is None else str(Path(given).resolve())


def _reporting(bar: Any) -> Report:
    """What shows how far a study is: on the bar, or in lines."""

    def report(message: str, done: int, total: int) -> None:
        if bar.disable and message and done > bar.n:
            print(f"[{done}/{total}] {message}", file=sys.stderr)
        bar.total = total
        bar.set_postfix_str(message, refresh=False)
        bar.n = done
        bar.refresh()

    return report


def _conclude(config: StudyConfig, name: str, out: Path, failures: list[str]) -> int:
    try:
        written = figures.draw([out], out / "figures") + _paper(config, out)
        page = str(out / REPORT)
        warn(write_report([out], out / REPORT)["notices"])
    except InputError:
        if not failures:
            raise
        written, page = [], None
    for failure in failures:
        print(f"satlab: {failure}", file=sys.stderr)
    found = {"results": str(out / "results.csv"), "figures": [str(path) for path in written], "report": page}
    print_row({"study": name} | found)
    return 1 if failures else 0


def _paper(config: StudyConfig, out: Path) -> list[Path]:
    """What the study is to show in the form of a paper, and its numbers beside the published ones.

    Of the runs in the directory those of the study's own models and seeds: it may hold another study's as well.
    """
    own = {run_folder(out, model, seed).name for model in config.models for seed in config.seeds}
    runs = runs_in([out], own)
    rows = one_setting(rows_of([out], runs))
    wide, folder = wide_rows(runs, rows), out / "figures"
    published = read_published(config.published, config.models, config.tasks, config.enlarge_to)
    found = compare(published, wide, rows)
    with plt.rc_context(figures.STYLE):
        written = paper.draw_forms(config.form, wide, rows, config.tasks, folder, found)
    return written + (write_comparison(found, folder, config.name or "study") if published else [])
