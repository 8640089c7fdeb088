"""Write a checkpoint of a bert-post model as a directory that Hugging Face's BertForMaskedLM reads."""

from pathlib import Path

from ..arguments import Arguments, Given


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab export`."""
    arguments.add_argument("run", help="directory made by satlab train")
    arguments.add_argument("--step", type=int | None, help="the checkpoint; the last unless given")
    arguments.add_argument("--out", required=True, help="directory to write: config.json, model.safetensors")


def run(given: Given) -> None:
    """Writes the files, and prints of which checkpoint they are."""
    from ....models import load_model
    from ...messages import say_next
    from ...runs.checkpoints import chosen_checkpoints
    from ...runs.export import export_model
    from ...runs.run import load_run
    from ..output import print_row

    step, folder = chosen_checkpoints(load_run(Path(given.run)), given.step)[-1]
    export_model(load_model(folder), Path(given.out))
    print_row({"run": given.run, "step": step, "out": given.out})
    say_next(given.out, f"transformers.BertForMaskedLM.from_pretrained({given.out!r})")
