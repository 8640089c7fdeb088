"""Short training runs for processes that torchrun starts, each with one JSON file of what every process saw.

torchrun --nproc-per-node N worlds.py FOLDER: the cases in FOLDER/CASE, all in float64 but "bf16".
"""

import json
import os
import sys
from pathlib import Path

import torch

from satlab.errors import StoppedError
from satlab.train.parallel.fsdp import shard
from satlab.train.parallel.world import World, joined
from support.training import parts, short, trainer

STEPS = {"steps": 10, "checkpoints": [5], "resume_every": 4, "evaluation_sentences": 25}
ADVERSARY = {"adversary_task": "state-4", "adversary_strength": 0.3, "adversary_sentences": 12}
FSDP = {"sharding": "fsdp"}

CASES = {
    "bert": ("bert-2x16", {}),
    "few-hidden": ("bert-1x16", {"masking": "bernoulli:0.03", "batch_size": 4}),
    "gpt": ("gpt-1x16", {"masking": "next", "weight_decay": 0.3}),
    "lstm": ("lstm-1x8", {"targets": "exact", "optimizer": "sgd", "momentum": 0.9}),
    "residual": ("lstm-residual-1x8", {}),
    "adversary": ("bert-1x16", ADVERSARY),
    "bf16": ("bert-1x16", {"precision": "bf16"}),
    "fsdp-bert": ("bert-2x16", FSDP),
    "fsdp-post": ("bert-post-2x16", FSDP),
    "fsdp-gpt": ("gpt-2x16", {"masking": "next", "optimizer": "sgd", "momentum": 0.9} | FSDP),
    "parts": ("bert-2x16", {"micro_batch": 2, "masking": "bernoulli:0.1", "average": 0.9}),
    "parts-adversary": ("bert-1x16", ADVERSARY | {"micro_batch": 1, "targets": "exact"}),
    "fsdp-parts": ("bert-2x16", {"micro_batch": 1} | FSDP),
    "begun": ("bert-2x16", {"average": 0.9}),
    "begun-fsdp": ("bert-2x16", FSDP),
    "stopped": ("bert-2x16", {}),
    "stopped-fsdp": ("bert-2x16", FSDP),
}
"""Name -> (model, changes to the configuration); 3 processes cannot share batches of 8 sentences evenly."""

LAST_STEP = 7
"""Of the cases that are stopped, and of those that were begun before."""


def config_of(case):
    return short(**(STEPS | CASES[case][1]))


def run_case(case, folder, world=None, stop_at=None):
    """The rows of a session in a world, and the step at which it was stopped (None where it was not)."""
    world, config = world or World(), config_of(case)
    rows, steps = [], []

    def stop():
        # The last process alone is asked to.
        return world.rank == world.size - 1 and steps[-1:] == [stop_at]

    def note(step, loss):
        steps.append(step)

    running = trainer(CASES[case][0], config, folder, on_step=note, should_stop=stop, world=world)
    if case != "bf16":
        running.model.double()
    try:
        for row in running.rows():
            rows.append(row.as_json())
    except StoppedError as error:
        return rows, str(error)
    return rows, None


def held(world):
    """(numbers of a sharded model and its optimiser's state that this process holds, numbers of the whole model)."""
    config = config_of("fsdp-bert")
    model, stream, _ = parts("bert-2x16", config)
    whole = sum(parameter.numel() for parameter in model.parameters())
    optimizer = config.optimizer_entry.build(model)
    model(torch.zeros(1, 4, dtype=torch.int64)).sum().backward()
    optimizer.step()
    sharded = shard(model, optimizer, config, world, stream.language.device)
    moments = [state["exp_avg"].to_local().numel() for state in sharded.state.values()]
    return sum(parameter.to_local().numel() for parameter in model.parameters()), sum(moments), whole


def main(folder):
    torch.set_num_threads(1)
    with joined() as world:
        for case in CASES:
            stop_at = LAST_STEP if case.startswith("stopped") else None
            seen = run_case(case, folder / case, world, stop_at)
            (folder / f"{case}-{world.rank}.json").write_text(json.dumps(seen))
        flags = [world.any(world.rank == 1), world.any(False), world.broadcast({"rank": world.rank})]
        (folder / f"flags-{world.rank}.json").write_text(json.dumps([*flags, held(world)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # As the command does: gloo's threads now and then abort an orderly end.
    sys.stdout.flush()
    os._exit(0)
