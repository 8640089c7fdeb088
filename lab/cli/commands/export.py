"""Write a checkpoint of a bert-post model as a directory that Hugging Face's BertForMaskedLM reads."""

from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ....models import load_model
from ...runs.checkpoints import chosen_checkpoints
from ...runs.export import export_model
from ...runs.run import load_run
from ..output import print_row


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab export`."""
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--step", type=int | None, default=None, help="the checkpoint; the last unless given")
    parser.add_argument("--out", type=str, required=True, help="directory to write: config.json, model.safetensors")


def run(given: Namespace) -> None:
    step, folder = chosen_checkpoints(load_run(Path(given.run)), given.step)[-1]
    export_model(load_model(folder), Path(given.out))
    print_row({"run": given.run, "step": step, "out": given.out})
