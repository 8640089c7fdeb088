"""Measure how well a linear layer reads a task off a run's features, beside its baselines.

Or how well the model does it once it is fine-tuned.
"""

import os

from ..arguments import Arguments, Given, add_run, opened_run, settings_of

TASK_HELP = "a task of the language, or a kind of task with settings: NAME:setting=value,..."
CACHE_HELP = (
    "directory for features that do not fit in memory, removed in the end; the system's temporary one unless given"
)


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab probe`."""
    add_run(arguments)
    arguments.add_argument("--task", required=True, help=TASK_HELP)
    arguments.add_argument("--cache", type=str | None, help=CACHE_HELP)
    arguments.add_settings("lab.measurements.probe_config", "ProbeConfig", entries="probes")


def run(given: Given) -> None:
    """Prints the rows of the baselines, then those of the checkpoints."""
    import torch

    from ...measurements.feature_choices import features_need_disk
    from ...measurements.probe import check_probe, measure_baselines, measure_probe
    from ...measurements.probe_config import ProbeConfig
    from ...runs.run import RESULTS
    from ..output import print_row, say_next_of_rows, warn_of_unsaturated
    from ..progress import parts_on, progress_bar

    run, config = opened_run(given), settings_of(ProbeConfig, given)
    # Reports errors before the baselines are measured.
    check_probe(run, given.task, config, given.step, given.cache)
    if features_need_disk(run.model, run.language.max_length, config) and "OMP_NUM_THREADS" not in os.environ:
        # Products with rows this long benefit from every core, unlike smaller ones.
        torch.set_num_threads(os.cpu_count() or 1)
    file, cache = run.folder / RESULTS, given.cache
    with progress_bar(None, "baselines") as bar:
        for row in measure_baselines(run.language, given.task, config, file, cache, parts_on(bar)):
            print_row(row)
    with progress_bar(None, "checkpoints") as bar:
        for row in measure_probe(run, given.task, config, given.step, cache, parts_on(bar)):
            print_row(row)
    warn_of_unsaturated(run, given.step)
    say_next_of_rows(run)
