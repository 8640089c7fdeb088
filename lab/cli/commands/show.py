"""Show what a language is like: sentences with their trees or states, exact statistics, the floor, the tasks."""

from pathlib import Path

from ....errors import at_least
from ..arguments import MOST_SENTENCES, Arguments, Given, add_language, at_most


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab show`."""
    add_language(arguments)
    arguments.add_argument("--sentences", type=int, default=3, help="how many to print")
    samples = "for the estimates; 10,000, or about 20 s of them"
    arguments.add_argument("--samples", type=int | None, help=samples)
    arguments.add_argument("--seed", type=int, default=0, help="of the sample")
    arguments.add_argument("--png", type=str | None, help="file for a picture of the first sentence")
    arguments.add_flag("--json", help="print one JSON object instead of text")


def run(given: Given) -> None:
    """Prints the description; draws the first sentence where a file is given for it."""
    at_least("sentences", given.sentences, 1)
    at_most("sentences", given.sentences, MOST_SENTENCES)
    if given.samples is not None:
        at_most("samples", given.samples, MOST_SENTENCES)
        at_least("samples", given.samples, max(2, given.sentences))
    from ....generators import load_language
    from ....randomness import random_stream
    from ...describe.show import default_samples, describe, say_cost
    from ...describe.text import as_text
    from ..output import print_row
    from ..progress import progress_bar

    if given.png is not None:
        from ...describe.pictures import check_png, picture, save_png

        check_png(Path(given.png))
    language = load_language(given.language, given.max_length)
    samples = given.samples or max(default_samples(language), given.sentences)
    say_cost(language, samples)
    sentences = language.sample(samples, random_stream(given.seed, "measurement"))
    figure = None if given.png is None else picture(language, sentences)
    with progress_bar(samples, "sentences") as bar:
        found = describe(language, given.language, sentences, given.sentences, given.seed, bar.update)
    if figure is not None:
        save_png(figure, Path(given.png))
    if given.json:
        print_row(found)
    else:
        print(as_text(found))
