"""Trains a run from its last checkpoint to its end, and records its metrics."""

import json
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import torch
import yaml

from ...errors import InputError
from ...generators.corpus.manifest import Corpus, open_corpus
from ...models import LanguageModel, build_model
from ...models.build import load_tensors
from ...models.files import WEIGHTS
from ...system.disk import append_lines, only_writer, write_atomic
from ...system.sums import damaged_file, sha256
from ...system.yaml_files import read_yaml
from ...train import MetricsRow, Trainer, checkpoints
from ...train.checkpoint import read_state
from ...train.parallel.world import World, without_tf32
from ..file_names import CONFIG, PUT_BACK
from .checkpoints import chosen_checkpoints
from .config_file import settle_device
from .origin import FROM, START, Origin
from .run import METRICS, Run, load_run
from .trainings import origin_of


def train_run(
    run: Run,
    device: str = "cpu",
    on_row: Callable[[MetricsRow], None] = lambda row: None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
    world: World | None = None,
) -> None:
    """Trains from the last checkpoint until the model is saturated or out of steps. Does nothing for a finished run.

    Among several processes, only the first locks the directory and writes to it.

    Args:
        run: the run.
        device: the device of its language and model.
        on_row: called with each row of metrics.
        on_step: called with a step and its loss whenever the losses are read; see `Trainer`.
        should_stop: called after and within each step; True stops training.
        world: the processes that train together; None for one.

    Raises:
        InputError: if another process trains the same run, if the run began on another kind of device, or if the
            checkpoint or corpus that it needs is missing or changed.
        DivergedError: if the loss, KL or a weight is not finite.
        StoppedError: if should_stop() returned True.
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
        if run.origin is not None and world.first:
            _begin(run, run.origin, model)
        trainer = Trainer(model, language, run.phase_config, run.folder, corpus=_corpus(run), world=world)
        trainer.on_step, trainer.should_stop = on_step, should_stop
        if world.first:
            _forget_after_last_checkpoint(run)
        for row in trainer.rows():
            if world.first:
                append_lines(run.folder / METRICS, [row.as_json()])
                on_row(row)


def _begin(run: Run, origin: Origin, model: LanguageModel) -> None:
    """Loads the weights with which a run begins. The first time, copies them into its directory.

    Args:
        run: the run.
        origin: the origin of the weights.
        model: receives the weights.

    Raises:
        InputError: if the origin is missing, damaged, changed or not trained to its end.
    """
    copy = run.folder / START
    if not copy.is_file() or sha256(copy) != origin.weights_sha256:
        if checkpoints(run.folder, kept_only=False):
            return  # Training resumes from the run's own checkpoint and needs no first weights.
        there, weights = _weights_of(run, origin)
        content = read_yaml(run.folder / CONFIG, PUT_BACK) | {FROM: asdict(there)}
        write_atomic(run.folder / CONFIG, yaml.safe_dump(content, sort_keys=False))
        write_atomic(copy, weights.read_bytes())
    model.load_state_dict(load_tensors(copy))


def _weights_of(run: Run, origin: Origin) -> tuple[Origin, Path]:
    """The origin of a run with its step and digest filled in, and the file of its weights."""
    place = Path(origin.run)
    # If the study was moved, the other run is still in the same directory as this one.
    place = place if place.is_dir() else run.folder.parent / place.name
    start = load_run(place)
    last = checkpoints(place)[-1:]
    if origin.step is None and not (last and (read_state(last[0][1]) or {}).get("finished")):
        raise InputError(f"{run.folder} begins with the end of {place}, which is unfinished; train that first")
    found = origin_of(start, origin.step)
    folder = chosen_checkpoints(start, found.step)[-1][1]
    if wrong := damaged_file(folder, (WEIGHTS,)):
        raise InputError(f"{folder}/{wrong}, expected the weights with which {run.folder} begins; put them back")
    if origin.weights_sha256 not in (None, found.weights_sha256):
        raise InputError(f"{folder / WEIGHTS}: not the weights that {run.folder} was to begin with; put them back")
    return found, folder / WEIGHTS


def _corpus(run: Run) -> Corpus | None:
    """Opens the corpus of a run.

    Args:
        run: the run.

    Returns:
        The corpus; None if the run trains on fresh sentences.

    Raises:
        InputError: if the corpus has changed.
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
    """Removes the rows of metrics after the last checkpoint, which training will write again."""
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
