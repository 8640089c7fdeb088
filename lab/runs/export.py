"""A checkpoint as a directory that Hugging Face's from_pretrained reads."""

import filecmp
import shutil
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...models import MaskedLM
from ...models.hugging_face import to_hugging_face


def export_model(model: MaskedLM, out: Path) -> None:
    """Writes config.json and model.safetensors; the directory appears when both are complete.

    Nothing changes where it holds just these files already. Raises InputError where it holds anything else, and for a
    model that has no such form.
    """
    network = to_hugging_face(model)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file, expected a new or empty directory; choose another")
    out = out.resolve()
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _save(network, partial)
        names = sorted(path.name for path in partial.iterdir())
        if out.is_dir() and any(out.iterdir()):
            there = sorted(path.name for path in out.iterdir())
            if there != names or filecmp.cmpfiles(out, partial, names, shallow=False)[0] != names:
                raise InputError(
                    f"--out {out}: holds something else, expected a new or empty directory; choose another"
                )
            return
        partial.replace(out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _save(network: Any, folder: Path) -> None:
    """save_pretrained without its progress bar."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        network.save_pretrained(folder)
    finally:
        if bars:
            logging.enable_progress_bar()
