"""Training of a run: from its last checkpoint to its end, and what of it is on record."""

import json
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch

from ...errors import InputError
from ...generators.corpus.manifest import Corpus, open_corpus
from ...models import build_model
from ...system.disk import append_lines, only_writer, write_atomic
from ...train import MetricsRow, Trainer, checkpoints
from ...train.checkpoint import read_state
from ...train.parallel.world import World, without_tf32
from .config_file import settle_device
from .origin import begin_from
from .run import METRICS, Run


def train_run(
    run: Run,
    device: str = "cpu",
    on_row: Callable[[MetricsRow], None] = lambda row: None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
    world: World | None = None,
) -> None:
    """Trains until saturated or out of steps, from the last checkpoint on; does nothing where training is finished.

    Of several processes the first alone locks the directory and writes there.

    Args:
        run: the run.
        device: where its language and model are to be.
        on_row: called with each row of metrics.
        on_step: called with each step and its loss.
        should_stop: asked after each step.
        world: the processes that train together; None for one.

    Raises:
        InputError: where another process trains the same run, or it was begun on a device of another kind, and where
            the checkpoint with which it begins is not there.
        DivergedError: where the loss is not finite.
    """
    world = world or World()
    torch.set_num_threads(run.config.threads)
    without_tf32(device)
    with only_writer(run.folder) if world.first else nullcontext():
        if world.first:
            settle_device(run.folder, torch.device(device).type)
        language = run.language.to(device)
        model = build_model(run.model, language, run.config.seed, run.config.dropout)
        if run.config.sharding == "ddp" or world.size == 1:
            model = model.to(device)
        config = run.config
        if run.origin is not None:
            config = replace(config, seed=run.origin.seed(config.seed))
            if world.first:
                begin_from(run.folder, run.origin, model)
        trainer = Trainer(model, language, config, run.folder, corpus=_corpus(run), world=world)
        trainer.on_step, trainer.should_stop = on_step, should_stop
        if world.first:
            _forget_after_last_checkpoint(run)
        for row in trainer.rows():
            if world.first:
                append_lines(run.folder / METRICS, [row.as_json()])
                on_row(row)


def _corpus(run: Run) -> Corpus | None:
    """The corpus that a run trains on; None where it trains on fresh sentences.

    Args:
        run: the run.

    Returns:
        The corpus, opened.

    Raises:
        InputError: where the corpus has changed.
    """
    if run.corpus is None:
        return None
    corpus = open_corpus(Path(run.corpus.folder))
    if corpus.fingerprint != run.corpus.sha256:
        raise InputError(
            f"{corpus.folder}: not the sentences that {run.folder} was begun with, expected that corpus; put it back"
        )
    return corpus


def _forget_after_last_checkpoint(run: Run) -> None:
    """Rows that a killed run wrote after its last checkpoint will be written again."""
    found = checkpoints(run.folder, kept_only=False)
    last = found[-1][0] if found else 0
    if found and (read_state(found[-1][1]) or {}).get("row_due"):
        last -= 1
    rows = run.metrics
    first = min(run.config.kept_steps + run.config.evaluation_steps[:1])
    if not rows and first <= last and not (read_state(found[-1][1]) or {}).get("finished"):
        warnings.warn(f"{run.folder / METRICS}: missing, its rows up to step {last} are gone", stacklevel=2)
    kept = [row for row in rows if row["step"] <= last]
    if len(kept) < len(rows):
        write_atomic(run.folder / METRICS, "".join(json.dumps(row) + "\n" for row in kept))
