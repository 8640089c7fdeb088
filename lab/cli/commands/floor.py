"""Print the least loss any model can reach: the entropy of the truth, nats, as one JSON line."""

from ....errors import InputError
from ..arguments import MOST_SENTENCES, Arguments, Given, add_language, at_most


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab floor`."""
    add_language(arguments)
    arguments.add_argument("--sentences", type=int, default=20_000, help="sampled sentences the mean is over")
    arguments.add_argument("--masking", default="one", help="what is predicted: one, bernoulli:p or next")
    arguments.add_argument("--seed", type=int, default=0, help="of the sample")


def run(given: Given) -> None:
    """Prints the floor.

    Raises:
        InputError: for fewer than 2 sentences, or more than memory can hold.
    """
    from ....generators import load_language
    from ....randomness import random_stream
    from ...runs.memory_check import check_floor_room
    from ..output import print_row
    from ..progress import progress_bar

    language = load_language(given.language, given.max_length)
    if given.sentences < 2:
        raise InputError(f"{given.sentences} sentences: expected at least 2, for a standard error")
    at_most("sentences", given.sentences, MOST_SENTENCES)
    check_floor_room(language, given.sentences, given.masking)
    with progress_bar(given.sentences, "sentences") as bar:
        generator = random_stream(given.seed, "floor")
        estimate = language.loss_floor(given.sentences, generator, given.masking, bar.update)
    named = {"language": given.language, "max_length": language.max_length, "masking": given.masking}
    print_row(named | {"floor_nats": estimate.value, "stderr": estimate.stderr, "n": estimate.n, "seed": given.seed})
