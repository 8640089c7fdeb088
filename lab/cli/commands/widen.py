"""Write a run's model as a larger one that computes the same: wider by a whole number, layers added on top.

Liu et al. 2022, B.4. Prints the numbers of parameters, and the greatest difference of logits that rounding leaves.
"""

import json
from pathlib import Path

from jsonargparse import ArgumentParser, Namespace

from ....errors import at_least
from ....models.widen import ADDED
from ...runs.enlarge import enlarge
from ...runs.run import load_run


def add_arguments(parser: ArgumentParser) -> None:
    """The arguments of `satlab widen`."""
    parser.add_argument("run", type=str, help="directory made by satlab train")
    parser.add_argument("--to", type=str, required=True, help="the larger model, for example bert-6x320")
    parser.add_argument(
        "--out", type=str, required=True, help="new or empty directory for the larger one, a run that can be measured"
    )
    parser.add_argument("--step", type=int | None, default=None, help="a checkpoint's; the last unless given")
    filling = "what added layers are filled with: zero, or initial (as in a new model, outgoing weights zero)"
    parser.add_argument("--added", type=str, default=ADDED[0], help=filling)
    sentences = "sampled sentences on which logits are compared"
    parser.add_argument("--sentences", type=int, default=64, help=sentences)


def run(given: Namespace) -> None:
    at_least("sentences", given.sentences, 1)
    run = load_run(Path(given.run))
    print(json.dumps(enlarge(run, given.to, Path(given.out), given.step, given.added, given.sentences)), flush=True)
