"""Speed of SGD's replicas side by side, beside one after the other.

    python benchmarks/replicas.py [--replicas 200] [--steps 200] [--rounds 5] [--out DIR]

The deep linear softmax of the experiment `drift`, batch size 1, one thread. The peer steps the same system with the
same function, two replicas at a time, the fewest that it takes; what counts is steps of replicas a second.
"""

import argparse
import json
from pathlib import Path

import torch
from machine import machine
from timing import Case, at_least_two, measure, table

from satlab.randomness import random_stream
from satlab.theory.drift import deep_linear, sgd_replicas

FEWEST = 2


def steps_of(replicas: int, steps: int) -> int:
    """Runs so many steps; returns the number of steps of all replicas."""
    problem, start = deep_linear(seed=4)
    for _ in sgd_replicas(problem, start, 0.1, 1, [steps], replicas, random_stream(0, "theory")):
        pass
    return replicas * steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--replicas", type=int, default=200)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--rounds", type=at_least_two, default=5)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    # Of two replicas a step is counted once: one after the other, each replica would take a step of its own.
    case = Case(
        f"{given.replicas} replicas of SGD",
        "steps",
        lambda: steps_of(given.replicas, given.steps),
        "one after the other",
        lambda: steps_of(FEWEST, given.steps) // FEWEST,
    )
    rows = [measure(case, given.rounds)]
    print(table(rows))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(row | {"machine": machine("cpu")}) for row in rows]
        (given.out / "replicas.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
