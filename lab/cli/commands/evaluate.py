"""Measure KL(truth || model) of a run's checkpoints on a held-out set."""

from ..arguments import Arguments, Given, add_run, opened_run, settings_of


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab evaluate`."""
    add_run(arguments)
    arguments.add_settings("lab.measurements.kl", "EvaluateConfig")


def run(given: Given) -> None:
    """Prints the rows, those that were measured before included."""
    from ...measurements.kl import EvaluateConfig, measure_kl
    from ..output import print_rows, say_next_of_rows

    run = opened_run(given)
    print_rows(run, measure_kl(run, settings_of(EvaluateConfig, given), given.step), given.step)
    say_next_of_rows(run)
