"""Measure the trace of the Hessian of a run's checkpoints, in total and by kind of parameter."""

from jsonargparse import ArgumentParser, Namespace

from ...measurements.flatness import measure_flatness
from ...measurements.flatness_config import FlatnessConfig
from ..arguments import add_run, add_settings, opened_run, settings_of
from ..output import print_rows, warn_of_unsaturated


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab flatness`."""
    add_run(parser)
    add_settings(parser, FlatnessConfig)


def run(given: Namespace) -> None:
    run = opened_run(given)
    print_rows(run, measure_flatness(run, settings_of(FlatnessConfig, given), given.step), given.step)
    warn_of_unsaturated(run, given.step)
