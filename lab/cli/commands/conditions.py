"""Say under which conditions tuning a head or a prompt is exact, which of them hold, and by what margin.

One JSON line for each condition, and one of what they predict together. With --features, instead, how many features a
next-word model needs: the rank of log p*, and the least KL found with so many. No model is needed.
"""

from ..arguments import Arguments, Given, add_language
from .probe import TASK_HELP

FEATURES_HELP = "numbers of features of a next-word model, such as 8 or [4, 8]: rank of log p* and least KL instead"


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab conditions`."""
    add_language(arguments)
    arguments.add_argument("--task", default="posterior", help=TASK_HELP)
    arguments.add_argument("--features", type=list[int] | int | None, help=FEATURES_HELP)


def run(given: Given) -> None:
    """Prints the conditions."""
    from ....generators import load_language
    from ....generators.tasks import find_task
    from ...measurements.softmax_capacity import capacity_rows
    from ...measurements.tuning import condition_rows
    from ..output import print_row

    language = load_language(given.language, given.max_length)
    if given.features is None:
        rows = condition_rows(language, find_task(language, given.task))
    else:
        rows = capacity_rows(language, given.features if isinstance(given.features, list) else [given.features])
    for row in rows:
        print_row({"language": given.language} | row)
