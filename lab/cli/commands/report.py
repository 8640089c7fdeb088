"""Write what runs and studies have recorded as one HTML file: tables, interactive plots, links; no model is loaded.

The file opens in any browser, offline. Where it is not at its place, its links to the runs no longer lead there.
"""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ....errors import InputError
from ...report.write import REPORT, write_report
from ..output import warn


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab report`."""
    parser.add_argument("directories", type=str, nargs="+", help="runs or studies")
    out = f"the file, its name ending in .html; DIRECTORY/{REPORT} unless given"
    parser.add_argument("--out", type=str | None, default=None, help=out)


def run(given: Namespace) -> None:
    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / REPORT
    if out.suffix not in (".html", ".htm") or out.is_dir():
        raise InputError(f"--out {out}: expected a file, its name ending in .html; correct it")
    warn(write_report(folders, out)["notices"])
    print(out)
