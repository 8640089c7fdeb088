"""What a study shows in the end: figures, the report, and what is asked for in the form of a paper."""

from pathlib import Path

import matplotlib.pyplot as plt

from ..analysis.model_table import wide_rows
from ..analysis.published import compare, read_published, write_comparison
from ..analysis.results import rows_of, runs_in
from ..analysis.row_selection import one_setting
from ..figures import draw as figures
from ..figures import paper
from ..file_names import REPORT
from ..report.write import write_report
from .config import StudyConfig
from .study import run_folder


def check_conclusion(config: StudyConfig) -> None:
    """Checks what a study asks to be shown.

    Raises:
        InputError: for an unknown form of a paper, and for published numbers that the study never measures.
    """
    paper.check_forms(config.form)
    read_published(config.published, config.models, config.tasks, config.enlarge_to)


def conclude(config: StudyConfig, out: Path) -> tuple[list[Path], Path, list[str]]:
    """Draws the figures and writes the report of a study's directory.

    Args:
        config: the study.
        out: its directory.

    Returns:
        The figures' files, the report's, and notices for people.

    Raises:
        InputError: where nothing is recorded yet.
    """
    written = figures.draw([out], out / "figures") + _paper(config, out)
    notices = write_report([out], out / REPORT)["notices"]
    return written, out / REPORT, notices


def _paper(config: StudyConfig, out: Path) -> list[Path]:
    """Draws what the study is to show in the form of a paper, and writes its numbers beside the published ones.

    The directory may hold the runs of another study as well: only the study's own models and seeds count.

    Args:
        config: the study.
        out: its directory.

    Returns:
        The files.
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
