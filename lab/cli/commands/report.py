"""Write what runs and studies have recorded as one HTML file: tables, interactive plots, links; no model is loaded.

The file opens in any browser, offline. Its links to the runs hold only where it was written.
"""

from pathlib import Path

from ....errors import InputError
from ...file_names import REPORT
from ..arguments import Arguments, Given

NEEDS_TORCH = False
"""It only reads recorded rows."""


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab report`."""
    arguments.add_argument("directories", many=True, help="runs or studies")
    out = f"the file, its name ending in .html; DIRECTORY/{REPORT} unless given"
    arguments.add_argument("--out", type=str | None, help=out)


def run(given: Given) -> None:
    """Writes the report and prints its file.

    Raises:
        InputError: for an output that is no .html file.
    """
    from ....system.replaceable import check_replaceable
    from ...messages import say_next
    from ...report.write import write_report
    from ..output import print_row, warn_of

    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / REPORT
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"--out {out}: expected a file, its name ending in .html; correct it")
    check_replaceable(out, "--out ")
    warn_of(write_report(folders, out)["notices"])
    print_row({"report": str(out)})
    say_next(out, "open it in a browser")
