"""Check a theorem on a run's checkpoints: both sides of each of its equations and inequalities."""

from jsonargparse import ArgumentParser, Namespace

from ....registry import settings_of
from ....theory import theorems
from ...measurements.theorem import measure_theorem, theorem_of
from ..arguments import add_run, opened_run
from ..output import print_rows


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab theorem`."""
    add_run(parser)
    known = [
        f"{name} ({', '.join(s.name for s in settings_of(entry)) or 'no settings'})" for name, entry in theorems.items()
    ]
    said = f"NAME or NAME:setting=value,...: {'; '.join(known)}"
    parser.add_argument("--name", type=str, required=True, help=said)
    parser.add_argument("--seed", type=int, default=0, help="what sentences and random vectors derive from")


def run(given: Namespace) -> None:
    """Prints a row for each link and checkpoint."""
    theorem_of(given.name)
    run = opened_run(given)
    print_rows(run, measure_theorem(run, given.name, given.seed, given.step), given.step)
