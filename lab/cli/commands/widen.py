"""Write a run's model as a larger one that computes the same: an integer times as wide, layers added on top.

Liu et al. 2022, B.4. Prints the numbers of parameters, and the greatest difference of logits that rounding leaves.
"""

from pathlib import Path

from ....errors import at_least
from ..arguments import Arguments, Given


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab widen`."""
    arguments.add_argument("run", help="directory made by satlab train")
    arguments.add_argument("--to", required=True, help="the larger model, for example bert-6x320")
    out = "new or empty directory for the larger model, as a run that can be measured"
    arguments.add_argument("--out", required=True, help=out)
    arguments.add_argument("--step", type=int | None, help="the checkpoint; the last unless given")
    filling = "what added layers are filled with: zero, or initial (as in a new model, outgoing weights zero)"
    arguments.add_argument("--added", default="zero", help=filling)
    arguments.add_argument("--sentences", type=int, default=64, help="sampled sentences on which logits are compared")


def run(given: Given) -> None:
    """Writes the run, and prints how its model differs."""
    at_least("sentences", given.sentences, 1)
    from ...messages import command_line, say_next
    from ...runs.enlarge import enlarge
    from ...runs.run import load_run
    from ..output import print_row

    run = load_run(Path(given.run))
    print_row(enlarge(run, given.to, Path(given.out), given.step, given.added, given.sentences))
    say_next(given.out, command_line("evaluate", given.out), command_line("flatness", given.out))
