"""Measure how well a linear layer reads a task off a run's features, beside its baselines.

Or how well the model does it once it is fine-tuned.
"""

import os

import torch
from jsonargparse import ArgumentParser, Namespace

from ...measurements.feature_choices import features_need_disk
from ...measurements.probe import check_probe, measure_baselines, measure_probe
from ...measurements.probe_config import ProbeConfig
from ...runs.run import RESULTS
from ..arguments import add_run, add_settings, opened_run, settings_of
from ..output import print_row, warn_of_unsaturated
from ..progress import parts_on, progress_bar

CACHE_HELP = (
    "directory for features that do not fit in memory, gone in the end; the system's temporary one unless given"
)


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab probe`."""
    add_run(parser)
    parser.add_argument("--task", type=str, required=True, help="a task of the language")
    parser.add_argument("--cache", type=str | None, default=None, help=CACHE_HELP)
    add_settings(parser, ProbeConfig)


def run(given: Namespace) -> None:
    run, config = opened_run(given), settings_of(ProbeConfig, given)
    # What is wrong is said before the baselines are measured.
    check_probe(run, given.task, config, given.step, given.cache)
    if features_need_disk(run.model, run.language.max_length, config) and "OMP_NUM_THREADS" not in os.environ:
        # Unlike all smaller work, products with rows this long gain by every core.
        torch.set_num_threads(os.cpu_count() or 1)
    file, cache = run.folder / RESULTS, given.cache
    with progress_bar(None, "baselines") as bar:
        for row in measure_baselines(run.language, given.task, config, file, cache, parts_on(bar)):
            print_row(row)
    with progress_bar(None, "checkpoints") as bar:
        for row in measure_probe(run, given.task, config, given.step, cache, parts_on(bar)):
            print_row(row)
    warn_of_unsaturated(run, given.step)
