"""Mirrors the metrics of a training run to Weights & Biases. The authoritative record is metrics.jsonl."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from ...errors import InputError, StoppedError
from ...system.disk import printable
from ...train import MetricsRow
from ..file_names import CONFIG
from .config_file import DEVICE, TORCH
from .run import Run

ID_LENGTH = 16
"""The number of hexadecimal digits of a run's id."""


def load_wandb() -> Any:
    """Imports wandb, reads its settings and starts its service. Writes nothing.

    Returns:
        The module.

    Raises:
        InputError: if it cannot be used.
    """
    try:
        import wandb
    except ImportError as error:
        said = f"the library wandb cannot be imported ({error}), expected it to be installed"
        raise InputError(f"--wandb: {said}; pip install wandb, or leave --wandb out") from None
    try:
        wandb.setup()
    except (wandb.Error, ValueError, TypeError, RuntimeError, OSError) as error:
        raise InputError(_unusable(error)) from None
    return wandb


def run_id(run: Run) -> str:
    """The id of the run at Weights & Biases, the same in all its sessions.

    Args:
        run: the run.

    Returns:
        A digest (SHA-256) of its name and of its config.yaml without the entries that training adds.
    """
    added = (f"{DEVICE}: ".encode(), f"{TORCH}: ".encode())
    lines = (run.folder / CONFIG).read_bytes().splitlines(keepends=True)
    text = b"".join(line for line in lines if not line.startswith(added)) + os.fsencode(run.folder.resolve().name)
    return hashlib.sha256(text).hexdigest()[:ID_LENGTH]


@contextmanager
def mirrored(run: Run, wandb: Any | None) -> Iterator[Callable[[MetricsRow], None]]:
    """Mirrors rows of metrics to Weights & Biases, and resumes the run of the same id if there is one.

    Without a login it works offline, with a folder in RUN/wandb for each session.

    Args:
        run: the run.
        wandb: the library; None for no mirror.

    Yields:
        A function to call with each row.

    Raises:
        InputError: if wandb cannot start.
        StoppedError: if the block raises it.
    """
    if wandb is None:
        yield lambda row: None
        return
    mirror, failed = _begin(run, wandb), 1
    try:
        yield lambda row: mirror.log(row.as_json(), step=row.step)
        failed = 0
    except StoppedError:
        failed = 0
        raise
    finally:
        mirror.finish(exit_code=failed)


def _begin(run: Run, wandb: Any) -> Any:
    named = {"project": "satlab", "name": printable(run.folder.resolve().name), "id": run_id(run), "resume": "allow"}
    try:
        settings = wandb.Settings(silent=True)
        if "WANDB_MODE" not in os.environ and not wandb.login(prompt=False):
            settings.mode = "offline"
        return wandb.init(**named, dir=run.folder, config=asdict(run.config), settings=settings)
    except (wandb.Error, ValueError, TypeError, RuntimeError, OSError) as error:
        raise InputError(_unusable(error)) from None


def _unusable(error: Exception) -> str:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return (
        f"--wandb: wandb cannot start ({said}); log in, set WANDB_MODE=offline, or leave --wandb out and run it again"
    )
