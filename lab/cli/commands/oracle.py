"""Measure what head and prompt tuning reach on the exact truth: the best that any pre-trained model allows.

One JSON line for each chain and quantity; with --chains above 1 also means, standard errors and medians over chains.
"""

from ..arguments import MOST_SENTENCES, Arguments, Given, add_language, at_most
from .probe import TASK_HELP

CHAINS_HELP = "languages of the family, with seeds from its own on"


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab oracle`."""
    add_language(arguments)
    arguments.add_argument("--task", default="posterior", help=TASK_HELP)
    arguments.add_argument("--chains", type=int, default=1, help=CHAINS_HELP)
    arguments.add_argument("--train_sentences", type=int, default=5000, help="texts that a head is fitted to")
    arguments.add_argument("--test_sentences", type=int, default=1000, help="texts that its accuracy is measured on")
    arguments.add_argument("--seed", type=int, default=0, help="of the texts")


def run(given: Given) -> None:
    """Prints the rows."""
    from ....errors import at_least
    from ....theory.tuning_oracle import Oracle
    from ...measurements.tuning import oracle_rows
    from ..output import print_row
    from ..progress import progress_bar

    at_least("chains", given.chains, 1)
    for name in ("train_sentences", "test_sentences"):
        at_most(name, getattr(given, name), MOST_SENTENCES)
    oracle = Oracle(given.train_sentences, given.test_sentences, given.seed)
    with progress_bar(given.chains, "chains") as bar:
        done = set()
        for row in oracle_rows(given.language, given.task, given.chains, given.max_length, oracle):
            print_row(row)
            done.add(row.get("chain"))
            bar.update(min(len(done), given.chains) - bar.n)
