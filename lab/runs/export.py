"""Exports a checkpoint as a directory that Hugging Face's from_pretrained reads."""

import shutil
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...models import LanguageModel
from ...models.hugging_face import to_hugging_face
from ...system.new_folder import new_folder
from ...train.checkpoint import naming_file


def export_model(model: LanguageModel, out: Path) -> None:
    """Writes config.json and model.safetensors. The directory appears only when both are complete.

    Args:
        model: a bert-post model.
        out: the directory. One that already holds exactly these files is left unchanged.

    Raises:
        InputError: if `out` holds anything else, and for a model for which Hugging Face has no class.
    """
    network = to_hugging_face(model)
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: a file, expected a new or empty directory; choose another")
    with new_folder(out.resolve()) as folder:
        _save(network, folder)


def _save(network: Any, folder: Path) -> None:
    """Calls save_pretrained without its progress bar."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with naming_file(folder):
            network.save_pretrained(folder)
            for file in folder.iterdir():
                # The weights are made readable for their owner alone.
                shutil.copymode(folder / "config.json", file)
    finally:
        if bars:
            logging.enable_progress_bar()
