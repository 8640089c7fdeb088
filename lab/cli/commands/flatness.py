"""Measure the trace of the Hessian of a run's checkpoints, in total and by kind of parameter."""

from ..arguments import Arguments, Given, add_run, opened_run, settings_of


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab flatness`."""
    add_run(arguments)
    arguments.add_settings("lab.measurements.flatness_config", "FlatnessConfig", entries="flatness.estimators")


def run(given: Given) -> None:
    """Prints the rows, those that were measured before included."""
    from ...measurements.flatness import measure_flatness
    from ...measurements.flatness_config import FlatnessConfig
    from ..output import print_rows, say_next_of_rows, warn_of_unsaturated

    run = opened_run(given)
    print_rows(run, measure_flatness(run, settings_of(FlatnessConfig, given), given.step), given.step)
    warn_of_unsaturated(run, given.step)
    say_next_of_rows(run)
