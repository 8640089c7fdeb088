"""Train a masked language model until KL(truth || model) is negligible."""

import logging
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ....errors import InputError
from ....estimate import ONE_SIDED_95
from ..arguments import OUT_HELP, Arguments, Given, add_language, settings_of

if TYPE_CHECKING:
    from ....train import MetricsRow
    from ...runs.origin import Origin
    from ...runs.run import Run

MODEL = "bert-2x64"
"""The model that is trained if none is given."""

MODEL_HELP = (
    "bert-LAYERSxWIDTH, or bert-post (as published), gpt (left to right), lstm or lstm-residual of such a size; "
    f"settings follow a colon, as in bert-2x128:heads=4; {MODEL} unless given, or with --from the model of that run"
)
FROM_HELP = "RUN or RUN:STEP, a run whose weights training begins with; the last checkpoint unless a step is given"
RECIPE_HELP = "fast, liu2022 or liu2022-sgd: settings that go together, as a start; see the page on training"
CORPUS_HELP = ", whose sentences are then read, pass after pass, while the held-out ones are fresh"

logger = logging.getLogger(__name__)


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab train`."""
    add_language(arguments, CORPUS_HELP)
    arguments.add_argument("--out", required=True, help=OUT_HELP)
    arguments.add_argument("--model", type=str | None, help=MODEL_HELP)
    arguments.add_argument("--from", type=str | None, help=FROM_HELP)
    arguments.add_argument("--recipe", type=str | None, help=RECIPE_HELP)
    arguments.add_argument("--device", default="cpu", help="cpu or cuda")
    arguments.add_flag("--wandb", help="mirror the metrics to Weights & Biases")
    arguments.add_argument("--config", type=str | None, help="YAML file with any of the settings below")
    arguments.add_settings("train.config", "TrainConfig")


def run(given: Given) -> None:
    """Trains, or goes on, and prints the last row of metrics."""
    from ....system.signals import StopRequest
    from ....train.config import TrainConfig
    from ....train.parallel.world import joined
    from ....train.recipes import with_recipe
    from ...messages import command_line, say_next
    from ...runs.lost_corpus import check_corpus_there
    from ...runs.origin import model_from
    from ...runs.run import create_run
    from ...runs.training import train_run
    from ...runs.wandb_mirror import load_wandb, mirrored
    from ...unforeseen import on_one_line
    from ..progress import TrainingProgress, progress_bar

    origin, start = _origin(given)
    model = given.model or MODEL if start is None else model_from(start.model, given.model)
    config = settings_of(
        TrainConfig, given, given.config, None if given.recipe is None else partial(with_recipe, given.recipe, model)
    )
    with joined() as world:
        device = world.device(given.device)
        wandb = load_wandb() if given.wandb and world.first else None
        check_corpus_there(Path(given.out), given.language)
        run = create_run(Path(given.out), given.language, model, config, given.max_length, origin, world)
        if world.first and config.dropped_checkpoints:
            beyond = f"checkpoints {config.dropped_checkpoints} lie beyond the {config.steps} steps and are left out"
            warnings.warn(beyond, stacklevel=1)
        if world.first and not run.checkpoints:
            _check_width(run)
        bar_of = (config.steps, "steps", world.first)
        with mirrored(run, wandb) as mirror, StopRequest() as stop, progress_bar(*bar_of) as bar:
            progress = TrainingProgress(bar, config.steps)

            def on_row(row: "MetricsRow") -> None:
                progress.on_row(row)
                mirror(row)

            if given.recipe is not None and world.first:
                logger.info("recipe %s: its settings are in %s/config.yaml", given.recipe, on_one_line(given.out))
            train_run(run, device, on_row, progress.on_step, stop, world)
    if world.first:
        _conclude(given.out, run)
        commands = (("evaluate", given.out), ("probe", given.out, "--task", "NAME"), ("flatness", given.out))
        say_next(given.out, *(command_line(*words) for words in commands))


def _origin(given: Given) -> tuple["Origin | None", "Run | None"]:
    """The checkpoint with which training begins, and its run; None for weights of its own."""
    text = getattr(given, "from")
    if text is None:
        return None, None
    from ...runs.trainings import origin_in

    return origin_in(text, given.language, given.max_length)


def _check_width(run: "Run") -> None:
    """Warns where a next-word model has too few features to saturate."""
    from ....models.names import network_of
    from ....models.networks.base import SizedNetwork
    from ...measurements.softmax_capacity import warn_of_width

    network = network_of(run.model)
    if network.causal and isinstance(network, SizedNetwork) and run.config.targets != "quad":
        warn_of_width(run.language, network.width, run.config.threshold)


def _conclude(out: str, run: "Run") -> None:
    """Prints why training ended, with the last row of metrics.

    Raises:
        InputError: if that row is missing.
    """
    from ...messages import warn
    from ...runs.run import METRICS
    from ..output import print_row

    rows, reached = run.metrics, max((step for step, _ in run.checkpoints), default=0)
    if not rows or rows[-1]["step"] < reached:
        raise InputError(
            f"{run.folder / METRICS}: the row of step {reached} is missing, with which the finished run ended; put the "
            "file back, or train again with another --out"
        )
    last = rows[-1]
    reason = "saturated" if last["saturated"] and run.config.stop_at_saturation else "step limit"
    if not last["saturated"]:
        what, bound, unit = "KL", last["kl_upper95"], " nats"
        if last.get("excess") is not None:
            what, bound, unit = "the excess", last["excess"] + ONE_SIDED_95 * last["excess_stderr"], ""
        warn(f"not saturated: {what}'s upper bound {bound:.4g} is not below {run.config.threshold:g}{unit}")
    # Rows of earlier versions do not have `seconds`.
    known = all(row.get("seconds") is not None for row in rows)
    seconds = {"seconds": sum(row["seconds"] for row in rows)} if known else {}
    print_row({"run": out, "stopped": reason} | last | seconds)
