"""Check a theorem on a run's checkpoints: both sides of each of its equations and inequalities."""

from jsonargparse import ArgumentParser, Namespace

from ....registry import described
from ....theory import theorems
from ...measurements.theorem import measure_theorem, theorem_of
from ..arguments import add_run, opened_run
from ..output import print_rows


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab theorem`."""
    add_run(parser)
    parser.add_argument("--name", type=str, required=True, help=f"NAME or NAME:setting=value,...; {described(theorems)}")
    parser.add_argument("--seed", type=int, default=0, help="what sentences and random vectors derive from")


def run(given: Namespace) -> None:
    """Prints a row for each link and checkpoint."""
    theorem_of(given.name)
    run = opened_run(given)
    print_rows(run, measure_theorem(run, given.name, given.seed, given.step), given.step)
