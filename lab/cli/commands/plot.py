"""Draw figures from what runs and studies have recorded; no model is loaded.

Prints a JSON line for each file: figure, a PNG or PDF, or table, a CSV of the numbers.
"""

from pathlib import Path

from ..arguments import Arguments, Given

NEEDS_TORCH = False
"""It only reads recorded rows."""


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab plot`."""
    arguments.add_argument("directories", many=True, help="runs or studies")
    arguments.add_argument("--out", type=str | None, help="where to; DIRECTORY/figures unless given")


def run(given: Given) -> None:
    """Draws the figures and prints their files."""
    from ...analysis.checkpoint_table import recorded
    from ...analysis.notices import notices_of
    from ...figures.draw import draw
    from ...messages import command_line, say_next
    from ..output import print_row, warn_of

    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / "figures"
    written = draw(folders, out)
    warn_of(notices_of(*recorded(folders)))
    for path in written:
        print_row({"table" if path.suffix == ".csv" else "figure": str(path)})
    say_next(out, command_line("report", *given.directories))
