"""Checkpoints: a directory each, complete or absent, with nothing in it that loading would run.

RUN/checkpoints/step-00016000/   model.json, model.safetensors, optimizer.safetensors, state.json
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from ..disk import flush
from ..errors import InputError
from ..models import MaskedLM, save_model
from ..models.build import WEIGHTS

OPTIMIZER, STATE = "optimizer.safetensors", "state.json"


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def checkpoints(run: Path, kept_only: bool = True) -> list[tuple[int, Path]]:
    """(step, directory) of the complete checkpoints of a run, in order.

    kept_only leaves out the ones that only serve to go on after an interruption.
    """
    found = []
    for folder in sorted((run / "checkpoints").glob("step-*")):
        state = read_state(folder)
        if state is not None and (state["keep"] or not kept_only):
            found.append((int(state["step"]), folder))
    return found


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state.json of a checkpoint, None where it is missing or damaged."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
    except (OSError, ValueError):
        return None
    return state if isinstance(state, dict) and state.keys() >= {"step", "keep", "finished"} else None


def save(run: Path, model: MaskedLM, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Writes the checkpoint of state["step"], then removes older ones with keep = False.

    The directory appears under its name only when every byte is on the disk.
    """
    target = folder_of(run, state["step"])
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_model(model, partial)
    moments = optimizer.state_dict()["state"]
    tensors = {f"{i}.{name}": value for i, entry in moments.items() for name, value in entry.items()}
    safetensors.torch.save_file(tensors, partial / OPTIMIZER)
    (partial / STATE).write_text(json.dumps(state, indent=1) + "\n")
    for file in partial.iterdir():
        flush(file)
    flush(partial)
    if target.exists():
        _remove(target)
    os.replace(partial, target)
    flush(target.parent)
    _tidy(run)


def restore(run: Path, model: MaskedLM, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Puts model and optimizer back to the last checkpoint of the run; its state, or None where there is none.

    Raises InputError where the last checkpoint is damaged.
    """
    _tidy(run)
    found = checkpoints(run, kept_only=False)
    if not found:
        return None
    _, folder = found[-1]
    try:
        model.load_state_dict(safetensors.torch.load_file(folder / WEIGHTS))
        tensors = safetensors.torch.load_file(folder / OPTIMIZER)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{folder}: damaged checkpoint ({error}); remove it to go on from the one before") from None
    moments: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return read_state(folder)


def _tidy(run: Path) -> None:
    """Removes what an interrupted write or removal left, and all but the last of the checkpoints not to be kept."""
    for leftover in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(leftover)
    for _, folder in checkpoints(run, kept_only=False)[:-1]:
        state = read_state(folder)
        if state is not None and not state["keep"]:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Under another name first: a checkpoint is whole or absent, also while it goes."""
    leaving = folder.with_name(f".{folder.name}.leaving")
    shutil.rmtree(leaving, ignore_errors=True)
    os.replace(folder, leaving)
    shutil.rmtree(leaving)
