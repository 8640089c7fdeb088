"""The commands that show what is recorded: their parsers, and what they do."""

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ...errors import InputError
from ..analysis.checkpoint_table import recorded
from ..analysis.notices import notices_of
from ..figures import draw as figures
from ..messages import show_warning
from ..report import write as report


def _plot(parser: ArgumentParser) -> None:
    """Draw figures from what runs and studies have recorded; no model is loaded."""
    parser.add_argument("directories", type=str, nargs="+", help="runs or studies")
    parser.add_argument("--out", type=str | None, default=None, help="where to; DIRECTORY/figures unless given")


def plot(given: Namespace) -> None:
    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / "figures"
    written = figures.draw(folders, out)
    warn(notices_of(*recorded(folders)))
    for path in written:
        print(path)


def _report(parser: ArgumentParser) -> None:
    """Write what runs and studies have recorded as one HTML file: tables, interactive plots, links; no model is loaded.

    The file opens in any browser, offline. Where it is not at its place, its links to the runs no longer lead there.
    """
    parser.add_argument("directories", type=str, nargs="+", help="runs or studies")
    out = f"the file, its name ending in .html; DIRECTORY/{report.REPORT} unless given"
    parser.add_argument("--out", type=str | None, default=None, help=out)


def write_report(given: Namespace) -> None:
    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / report.REPORT
    if out.suffix not in (".html", ".htm") or out.is_dir():
        raise InputError(f"--out {out}: expected a file, its name ending in .html; correct it")
    warn(report.write_report(folders, out)["notices"])
    print(out)


def warn(notices: list[str]) -> None:
    """A line on stderr for each."""
    for notice in notices:
        show_warning(" ".join(notice.split()), UserWarning)


COMMANDS: dict[str, tuple[Any, Any]] = {"plot": (_plot, plot), "report": (_report, write_report)}
