"""Writes and restores checkpoints. Each is one directory, complete or absent; loading one never runs code.

RUN/checkpoints/step-00016000/   model.json, model.safetensors, optimizer.safetensors, state.json
                                average.safetensors, if training keeps an average of the weights
                                SHA256SUMS, which reveals damage on the disk
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from ..errors import InputError
from ..models.files import DESCRIPTION, WEIGHTS
from ..system.disk import check_writable, flush
from ..system.library_words import error_number
from ..system.sums import SUMS, damaged_file, sums_in, write_sums

if TYPE_CHECKING:
    import torch

    from ..models import LanguageModel

OPTIMIZER, STATE, AVERAGE = "optimizer.safetensors", "state.json", "average.safetensors"
FILES = (DESCRIPTION, WEIGHTS, OPTIMIZER, STATE)

SPARE = 2
"""The number of newest checkpoints kept to resume an unfinished run: if the last is damaged, the one before serves."""


def folder_of(run: Path, step: int) -> Path:
    """Returns the directory of a checkpoint."""
    return run / "checkpoints" / f"step-{step:08d}"


def checkpoints(run: Path, kept_only: bool = True) -> list[tuple[int, Path]]:
    """Lists the complete checkpoints of a run.

    Args:
        run: the directory of the run.
        kept_only: leave out checkpoints that only serve to resume. If False, leave out damaged ones at the end instead,
            so that training resumes from the last one listed.

    Returns:
        (step, directory) of each, in order.
    """
    found = listed(run)
    if kept_only:
        return [(state["step"], folder) for folder, state in found if state["keep"]]
    while found and damage(found[-1][0]) is not None:
        found.pop()
    return [(state["step"], folder) for folder, state in found]


def read_state(folder: Path) -> dict[str, Any] | None:
    """Returns the content of a checkpoint's state.json; None if it is missing or damaged."""
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError):
        return None
    whole = isinstance(state, dict) and state.keys() >= {"step", "keep", "finished"} and isinstance(state["step"], int)
    return state if whole else None


def damage(folder: Path) -> str | None:
    """Compares the files of a checkpoint with their digests; without SHA256SUMS the checkpoint counts as damaged.

    Args:
        folder: the checkpoint.

    Returns:
        The first damaged file and what is wrong with it; None if all files are intact.
    """
    missing = [f"{name}: missing" for name in (*FILES, SUMS) if not (folder / name).is_file()]
    if missing:
        return missing[0]
    averaged = (folder / AVERAGE).exists() or AVERAGE in sums_in(folder)
    files = (*FILES, AVERAGE) if averaged else FILES
    return damaged_file(folder, files) or (f"{STATE}: damaged" if read_state(folder) is None else None)


def save(
    run: Path,
    model: "LanguageModel",
    optimizer: "torch.optim.Optimizer",
    state: dict[str, Any],
    average: "LanguageModel | None" = None,
) -> None:
    """Writes the checkpoint of state["step"], then removes earlier ones that are no longer needed.

    The directory appears under its name only once every byte is on the disk.

    Args:
        run: the directory of the run.
        model: the model.
        optimizer: its state is written too.
        state: the content of state.json.
        average: the model with averaged weights; None if training keeps none.

    Raises:
        OSError: naming the file, if writing fails, for instance on a full disk; no partial checkpoint remains.
    """
    target = folder_of(run, state["step"])
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(partial, target, model, optimizer, state, average)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if target.exists():
        _remove(target)
    os.replace(partial, target)
    flush(target.parent)
    _tidy(run)


def _write(
    partial: Path,
    target: Path,
    model: "LanguageModel",
    optimizer: "torch.optim.Optimizer",
    state: dict[str, Any],
    average: "LanguageModel | None",
) -> None:
    """Writes and flushes all files of a checkpoint. An error names the file's final path in `target`."""
    from ..models import save_model
    from ..models.build import save_tensors, save_weights
    from .optimizer_state import flattened

    with naming_file(target / WEIGHTS):
        save_model(model, partial)
    with naming_file(target / OPTIMIZER):
        save_tensors(flattened(optimizer), partial / OPTIMIZER)
    if average is not None:
        with naming_file(target / AVERAGE):
            save_weights(average, partial / AVERAGE)
    with naming_file(target / STATE):
        (partial / STATE).write_text(json.dumps(state, indent=1) + "\n")
        write_sums(partial)
    for file in partial.iterdir():
        with naming_file(target / file.name):
            flush(file)
    flush(partial)


@contextmanager
def naming_file(file: Path) -> Iterator[None]:
    """Turns write errors, including those of safetensors, into an OSError that names the file."""
    try:
        yield
    except OSError as error:
        error.filename, error.filename2 = str(file), None
        raise
    except SafetensorError as error:
        number = error_number(error)
        raise OSError(number, os.strerror(number), str(file)) from None


def restore(
    run: Path, model: "LanguageModel", optimizer: "torch.optim.Optimizer", average: "LanguageModel | None" = None
) -> dict[str, Any] | None:
    """Restores the model and the optimiser from the last undamaged checkpoint of a run.

    Removes damaged checkpoints after it, with one warning each. Training will reproduce them bit by bit.

    Args:
        run: the directory of the run.
        model: receives the weights.
        optimizer: receives its state.
        average: receives the averaged weights; None if training keeps none.

    Returns:
        The content of state.json; None if there is no checkpoint.

    Raises:
        InputError: for a checkpoint that cannot be read or is of another model.
        OSError: if an unfinished run cannot be written to.
    """
    from ..models.build import load_tensors
    from .optimizer_state import load_flattened

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
        if average is not None:
            average.load_state_dict(load_tensors(folder / AVERAGE))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{folder}: damaged checkpoint ({error}); remove it to resume from the one before") from None
    load_flattened(optimizer, tensors)
    return state


def listed(run: Path) -> list[tuple[Path, dict[str, Any]]]:
    """(directory, state) of the checkpoints with a readable state, in order; their other files are not examined."""
    folders = sorted((run / "checkpoints").glob("step-*"))
    found = [(folder, state) for folder in folders if (state := read_state(folder)) is not None]
    return [(folder, state) for folder, state in found if folder == folder_of(run, state["step"])]


def _discard_damaged(run: Path, last: int) -> None:
    """Removes the checkpoints after step `last`, all of which are damaged."""
    for folder in sorted((run / "checkpoints").glob("step-*")):
        if folder.name > folder_of(run, last).name:
            again = f"training goes on from step {last}" if last else "training begins again at step 0"
            warnings.warn(f"{folder}/{damage(folder)}; {again}", stacklevel=2)
            _remove(folder)


def _tidy(run: Path) -> None:
    """Removes the remains of interrupted writes and removals, and old checkpoints that only served to resume."""
    for leftover in (run / "checkpoints").glob(".step-*"):
        shutil.rmtree(leftover)
    found = listed(run)
    spare = 1 if found and found[-1][1]["finished"] else SPARE
    for folder, state in found[:-spare]:
        if not state["keep"]:
            _remove(folder)


def _remove(folder: Path) -> None:
    """Renames a checkpoint before its removal, so that it is complete or absent at every moment."""
    leaving = folder.with_name(f".{folder.name}.leaving")
    shutil.rmtree(leaving, ignore_errors=True)
    os.replace(folder, leaving)
    shutil.rmtree(leaving)
