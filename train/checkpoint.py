"""Checkpoints: a directory each, complete or absent, with nothing in it that loading would run.

RUN/checkpoints/step-00016000/   model.json, model.safetensors, optimizer.safetensors, state.json
                                SHA256SUMS, so that a byte that changes on the disk is noticed
"""

import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from ..errors import InputError
from ..models import MaskedLM, save_model
from ..models.build import DESCRIPTION, WEIGHTS, load_tensors
from ..system.disk import check_writable, flush
from ..system.sums import SUMS, damaged_file, write_sums

OPTIMIZER, STATE = "optimizer.safetensors", "state.json"
FILES = (DESCRIPTION, WEIGHTS, OPTIMIZER, STATE)

SPARE = 2
"""Checkpoints that an unfinished run has to go on from: should the newest be damaged, the one before serves."""


def folder_of(run: Path, step: int) -> Path:
    return run / "checkpoints" / f"step-{step:08d}"


def checkpoints(run: Path, kept_only: bool = True) -> list[tuple[int, Path]]:
    """(step, directory) of the complete checkpoints of a run, in order.

    kept_only leaves out the ones that only serve to go on after an interruption. With them, the last one is what training
    goes on from: damaged ones after it are left out.
    """
    found = _listed(run)
    if kept_only:
        return [(state["step"], folder) for folder, state in found if state["keep"]]
    while found and damage(found[-1][0]) is not None:
        found.pop()
    return [(state["step"], folder) for folder, state in found]


def read_state(folder: Path) -> dict[str, Any] | None:
    """The state.json of a checkpoint, None where it is missing or damaged."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    whole = isinstance(state, dict) and state.keys() >= {"step", "keep", "finished"} and isinstance(state["step"], int)
    return state if whole else None


def damage(folder: Path) -> str | None:
    """The first file of a checkpoint that is not as it was written, and how; None where all are.

    Without its digests nobody knows whether they are: SHA256SUMS missing is damage too.
    """
    missing = [f"{name}: missing" for name in (*FILES, SUMS) if not (folder / name).is_file()]
    if missing:
        return missing[0]
    return damaged_file(folder, FILES) or (f"{STATE}: damaged" if read_state(folder) is None else None)


def save(run: Path, model: MaskedLM, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Writes the checkpoint of state["step"], then removes those before it that nothing needs any more.

    The directory appears under its name only when every byte is on the disk. Where writing fails, as on a full disk, the
    OSError names the file, and nothing is left behind.
    """
    target = folder_of(run, state["step"])
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(partial, target, model, optimizer, state)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if target.exists():
        _remove(target)
    os.replace(partial, target)
    flush(target.parent)
    _tidy(run)


def _write(
    partial: Path, target: Path, model: MaskedLM, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """All files of a checkpoint, flushed; an error names the one that was to become target's."""
    moments = optimizer.state_dict()["state"]
    tensors = {f"{i}.{name}": value for i, entry in moments.items() for name, value in entry.items()}
    with naming_file(target / WEIGHTS):
        save_model(model, partial)
    with naming_file(target / OPTIMIZER):
        safetensors.torch.save_file(tensors, partial / OPTIMIZER)
    with naming_file(target / STATE):
        (partial / STATE).write_text(json.dumps(state, indent=1) + "\n")
        write_sums(partial)
    for file in partial.iterdir():
        with naming_file(target / file.name):
            flush(file)
    flush(partial)


@contextmanager
def naming_file(file: Path) -> Iterator[None]:
    """An error of writing, safetensors' own included, is an OSError with the file's name."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(file), None
        raise
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        number = int(code[1]) if code else errno.EIO
        raise OSError(number, os.strerror(number), str(file)) from None


def restore(run: Path, model: MaskedLM, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Puts model and optimizer back to the last whole checkpoint of the run; its state, or None where there is none.

    Damaged checkpoints after it are removed, with a warning each: training comes to the same bits again.
    Raises InputError where it is the checkpoint of another model, OSError where the run cannot be written to.
    """
    found = checkpoints(run, kept_only=False)
    folder = found[-1][1] if found else None
    state = None if folder is None else read_state(folder)
    if state is None or not state["finished"]:
        check_writable(run)
    _discard_damaged(run, found[-1][0] if found else 0)
    _tidy(run)
    if folder is None:
        return None
    try:
        model.load_state_dict(load_tensors(folder / WEIGHTS))
        tensors = load_tensors(folder / OPTIMIZER)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{folder}: damaged checkpoint ({error}); remove it to go on from the one before") from None
    moments: dict[int, dict[str, Any]] = {}
    for key, value in tensors.items():
        index, name = key.split(".")
        moments.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return state


def _listed(run: Path) -> list[tuple[Path, dict[str, Any]]]:
    """(directory, state) of the checkpoints whose state can be read, in order; the other files are not looked at."""
    folders = sorted((run / "checkpoints").glob("step-*"))
    found = [(folder, state) for folder in folders if (state := read_state(folder)) is not None]
    return [(folder, state) for folder, state in found if folder == folder_of(run, state["step"])]


def _discard_damaged(run: Path, last: int) -> None:
    """Removes the checkpoints after step `last`, which are all damaged."""
    for folder in sorted((run / "checkpoints").glob("step-*")):
        if folder.name > folder_of(run, last).name:
            again = f"training goes on from step {last}" if last else "training begins again at step 0"
            warnings.warn(f"{folder}/{damage(folder)}; {again}", stacklevel=2)
            _remove(folder)


def _tidy(run: Path) -> None:
    """Removes what an interrupted write or removal left, and the checkpoints not to be kept that nothing needs any more."""
    for leftover in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(leftover)
    found = _listed(run)
    spare = 1 if found and found[-1][1]["finished"] else SPARE
    for folder, state in found[:-spare]:
        if not state["keep"]:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Under another name first: a checkpoint is whole or absent, also while it goes."""
    leaving = folder.with_name(f".{folder.name}.leaving")
    shutil.rmtree(leaving, ignore_errors=True)
    os.replace(folder, leaving)
    shutil.rmtree(leaving)
