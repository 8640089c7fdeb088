"""Say under which conditions tuning a head or a prompt is exact, which of them hold, and by what margin.

One JSON line for each condition, and one of what they predict together. No model is needed.
"""

from ..arguments import Arguments, Given, add_language
from .probe import TASK_HELP


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab conditions`."""
    add_language(arguments)
    arguments.add_argument("--task", default="posterior", help=TASK_HELP)


def run(given: Given) -> None:
    """Prints the conditions."""
    from ....generators import load_language
    from ....generators.tasks import find_task
    from ...measurements.tuning import condition_rows
    from ..output import print_row

    language = load_language(given.language, given.max_length)
    for row in condition_rows(language, find_task(language, given.task)):
        print_row({"language": given.language} | row)
