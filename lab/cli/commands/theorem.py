"""Check a theorem on a run's checkpoints: both sides of each of its equations and inequalities."""

from ..arguments import Arguments, Given, add_run, opened_run


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab theorem`."""
    add_run(arguments)
    arguments.add_argument("--name", required=True, help=_name_help)
    arguments.add_argument("--seed", type=int, default=0, help="seed of sentences and random vectors")


def _name_help() -> str:
    """How a theorem is named, and which there are."""
    from ....registry import settings_of
    from ....theory import theorems

    settings = {name: ", ".join(setting.name for setting in settings_of(entry)) for name, entry in theorems.items()}
    known = "; ".join(f"{name} ({names or 'no settings'})" for name, names in settings.items())
    return f"NAME or NAME:setting=value,...: {known}"


def run(given: Given) -> None:
    """Prints a row for each link and checkpoint, those that were measured before included."""
    from ...measurements.theorem import measure_theorem, theorem_of
    from ..output import print_rows, say_next_of_rows

    theorem_of(given.name)
    run = opened_run(given)
    print_rows(run, measure_theorem(run, given.name, given.seed, given.step), given.step)
    say_next_of_rows(run)
