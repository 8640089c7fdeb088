"""Writes the files of a run that is made from another one instead of trained."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from ...models import LanguageModel, save_model
from ...system.yaml_files import read_yaml
from ...train.checkpoint import STATE, folder_of, naming_file
from ..file_names import CONFIG
from .run import Run


def write_begin(run: Run, folder: Path, changes: Mapping[str, Any]) -> None:
    """Writes config.yaml and the language's file.

    Args:
        run: the run from which the new one is made.
        folder: the directory of the new run.
        changes: changed and additional entries of config.yaml.
    """
    content = read_yaml(run.folder / CONFIG) | dict(changes)
    (folder / CONFIG).write_text(yaml.safe_dump(content, sort_keys=False))
    (folder / content["language_file"]).write_bytes((run.folder / content["language_file"]).read_bytes())


def write_checkpoint(model: LanguageModel, folder: Path, step: int) -> Path:
    """Writes a model as a checkpoint of a run, without the state needed to resume training. Returns its directory."""
    checkpoint = folder_of(folder, step)
    checkpoint.mkdir(parents=True)
    with naming_file(checkpoint):
        save_model(model, checkpoint)
    (checkpoint / STATE).write_text(json.dumps({"step": step, "keep": True, "finished": True}, indent=1) + "\n")
    return checkpoint
