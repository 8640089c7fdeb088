"""Run an experiment on a theorem, on systems of its own that are computed exactly, and draw its figure.

Prints a JSON line for each row. What was computed before, with the same settings, is not computed again.
"""

from pathlib import Path

from ..arguments import OUT_HELP, Arguments, Given


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab experiment`."""
    arguments.add_argument("name", help=_name_help)
    arguments.add_argument("--out", required=True, help=OUT_HELP)


def _name_help() -> str:
    """How an experiment is named, and which there are."""
    from ....registry import settings_of
    from ....theory.experiment import experiments

    settings = {name: ", ".join(setting.name for setting in settings_of(entry)) for name, entry in experiments.items()}
    known = "; ".join(f"{name} ({names or 'no settings'})" for name, names in settings.items())
    return f"NAME or NAME:setting=value,...: {known}"


def run(given: Given) -> None:
    """Prints the rows and writes table and figure."""
    from ...measurements.experiment import experiment_of
    from ...messages import say_next
    from ...studies.experiment import conclude_experiment
    from ..output import print_row
    from ..progress import cells_on, progress_bar

    experiment, out = experiment_of(given.name), Path(given.out)
    with progress_bar(None, "cells") as bar:
        written = conclude_experiment(given.name, out, on_cell=cells_on(bar, len(experiment.cells())))
    for row in written.rows:
        print_row(row)
    say_next(written.figures[0])
