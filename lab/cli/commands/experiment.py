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
    from ....theory.experiment import experiments
    from ...figures.experiment import draw_experiment
    from ...measurements.experiment import columns_of, experiment_of, run_experiment
    from ...messages import say_next
    from ..output import print_row
    from ..progress import progress_bar

    experiment, out = experiment_of(given.name), Path(given.out)
    with progress_bar(len(experiment.cells()), "cells") as bar:
        rows = run_experiment(given.name, out, bar.update)
    for row in rows:
        print_row(row)
    place = out / experiments.name_of(experiment)
    draw_experiment(rows, experiment.panels, columns_of(rows), place)
    say_next(place.with_name(place.name + ".png"))
