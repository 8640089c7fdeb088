"""Measure KL(truth || model) of a run's checkpoints on a held-out set."""

from jsonargparse import ArgumentParser, Namespace

from ...measurements.kl import EvaluateConfig, measure_kl
from ..arguments import add_run, add_settings, opened_run, settings_of
from ..output import print_rows


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab evaluate`."""
    add_run(parser)
    add_settings(parser, EvaluateConfig)


def run(given: Namespace) -> None:
    run = opened_run(given)
    print_rows(run, measure_kl(run, settings_of(EvaluateConfig, given), given.step), given.step)
