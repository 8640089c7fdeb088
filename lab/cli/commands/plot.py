"""Draw figures from what runs and studies have recorded; no model is loaded."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ...analysis.checkpoint_table import recorded
from ...analysis.notices import notices_of
from ...figures.draw import draw
from ..output import warn


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab plot`."""
    parser.add_argument("directories", type=str, nargs="+", help="runs or studies")
    parser.add_argument("--out", type=str | None, default=None, help="where to; DIRECTORY/figures unless given")


def run(given: Namespace) -> None:
    folders = [Path(folder) for folder in given.directories]
    out = Path(given.out) if given.out else folders[0] / "figures"
    written = draw(folders, out)
    warn(notices_of(*recorded(folders)))
    for path in written:
        print(path)
