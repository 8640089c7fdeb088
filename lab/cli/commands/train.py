"""Train a masked language model until KL(truth || model) is negligible."""

import sys
import warnings
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ....errors import InputError
from ....system.signals import StopRequest
from ....train import MetricsRow, TrainConfig
from ....train.parallel.world import joined
from ...runs.run import METRICS, Run, create_run, train_run
from ...runs.wandb_mirror import load_wandb, mirrored
from ..arguments import OUT_HELP, add_language, add_settings, settings_of
from ..output import print_row
from ..progress import TrainingProgress, progress_bar

MODEL_HELP = (
    "bert-LAYERSxWIDTH, or bert-post (as published), gpt (left to right), lstm or lstm-residual of such a size; settings "
    "follow a colon, as in bert-2x128:heads=4"
)
CORPUS_HELP = ", whose sentences are then read, pass after pass, while the held-out ones are fresh"


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab train`."""
    add_language(parser, CORPUS_HELP)
    parser.add_argument("--out", type=str, required=True, help=OUT_HELP)
    parser.add_argument("--model", type=str, default="bert-2x64", help=MODEL_HELP)
    parser.add_argument("--device", type=str, default="cpu", help="cpu or cuda")
    parser.add_argument("--wandb", action="store_true", help="mirror the metrics to Weights & Biases")
    parser.add_argument("--config", type=str | None, default=None, help="YAML file with any of the settings below")
    add_settings(parser, TrainConfig)


def run(given: Namespace) -> None:
    config = settings_of(TrainConfig, given)
    with joined() as world:
        device = world.device(given.device)
        wandb = load_wandb() if given.wandb and world.first else None
        run = create_run(Path(given.out), given.language, given.model, config, given.max_length, world)
        if world.first and config.dropped_checkpoints:
            beyond = f"checkpoints {config.dropped_checkpoints} lie beyond the {config.steps} steps and are left out"
            warnings.warn(beyond, stacklevel=1)
        bar_of = (config.steps, "steps", world.first)
        with mirrored(run, wandb) as mirror, StopRequest() as stop, progress_bar(*bar_of) as bar:
            progress = TrainingProgress(bar, config.steps)

            def on_row(row: MetricsRow) -> None:
                progress.on_row(row)
                mirror(row)

            train_run(run, device, on_row, progress.on_step, stop, world)
    if world.first:
        _conclude(given.out, run)


def _conclude(out: str, run: Run) -> None:
    rows, reached = run.metrics, max((step for step, _ in run.checkpoints), default=0)
    if not rows or rows[-1]["step"] < reached:
        raise InputError(
            f"{run.folder / METRICS}: the row of step {reached} is missing, with which the finished run ended; put the file "
            "back, or train again with another --out"
        )
    last = rows[-1]
    reason = "saturated" if last["saturated"] and run.config.stop_at_saturation else "step limit"
    if not last["saturated"]:
        print(
            f"satlab: warning: not saturated: KL's upper bound {last['kl_upper95']:.4g} is not below "
            f"{run.config.threshold:g} nats",
            file=sys.stderr,
        )
    # Rows of earlier versions do not have it.
    known = all(row.get("seconds") is not None for row in rows)
    seconds = {"seconds": sum(row["seconds"] for row in rows)} if known else {}
    print_row({"run": out, "stopped": reason} | last | seconds)
