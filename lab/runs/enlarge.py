"""Writes a run's model, embedded in a larger one, as a new run, which is not trained but is measured like any other."""

import json
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ...generators.batches import make_batch
from ...models import LanguageModel, default_masking, load_model
from ...models.widen import check_larger, widen
from ...randomness import random_stream
from ...system.new_folder import new_folder
from .checkpoints import chosen_checkpoints
from .config_file import WIDENED
from .made import write_begin, write_checkpoint
from .run import METRICS, Run


def enlarge(run: Run, name: str, out: Path, step: int | None, added: str, sentences: int) -> dict[str, Any]:
    """Writes a larger model that computes the same function as a run's model, as a run with one checkpoint.

    The directory appears only when it is complete. Its config.yaml names the origin under "widened". The run can be
    measured and drawn, but not trained.

    Args:
        run: the run of the smaller model.
        name: the name of the larger model.
        out: the directory to write.
        step: the step of the checkpoint; None for the last.
        added: how added layers are filled.
        sentences: the number of sampled sentences on which the two models are compared.

    Returns:
        A row that describes the result. logit_difference is the largest difference between the logits of the two stored
        models, computed in float64, over all positions of the sentences.

    Raises:
        InputError: before anything is written, if `out` is not empty, and as `widen` does.
    """
    check_larger(run.model, name)
    at, folder = chosen_checkpoints(run, step)[-1]
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"--out {out}: holds something already, expected a new or empty directory; choose another")
    small = load_model(folder)
    wide = widen(small, name, added, run.config.seed)
    source = {"run": str(run.folder), "model": run.model, "step": at, "added": added}
    with new_folder(out.resolve()) as partial:
        _write(run, wide, at, source, partial)
        sizes = {"parameters": _number(small), "widened_parameters": _number(wide)}
        difference = logit_difference(run, small.double(), wide.double(), sentences)
    return source | {"to": wide.name, "out": str(out)} | sizes | {"logit_difference": difference, "n": sentences}


def _write(run: Run, wide: LanguageModel, step: int, source: dict[str, Any], folder: Path) -> None:
    """Writes the files of the run. Its row of metrics is the smaller model's, because the function is the same."""
    write_begin(run, folder, {"model": wide.name, WIDENED: source})
    rows = [row for row in run.metrics if row["step"] == step]
    (folder / METRICS).write_text("".join(json.dumps(row) + "\n" for row in rows))
    write_checkpoint(wide, folder, step)


@torch.no_grad()
def logit_difference(run: Run, one: LanguageModel, other: LanguageModel, sentences: int) -> float:
    """max |logit - logit'| over words and positions of sampled sentences, masked as in training; nan if any is nan."""
    generator = random_stream(run.config.seed, "measurement")
    sampled = run.language.sample(sentences, generator, latents=False)
    masking = run.config.masking or default_masking(run.model)
    inputs = make_batch(sampled, masking, run.language.vocab_size, generator).inputs
    parts = []
    for tokens in torch.split(inputs, 64):
        gaps = (one(tokens) - other(tokens)).abs()
        parts.append(gaps[tokens != one.pad_id].max())
    return float(torch.stack(parts).max())


def _number(model: LanguageModel) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
