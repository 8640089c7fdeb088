"""List the published sizes of models and how many parameters they have: for a language, or a number of words.

gpt- and bert-post- take the same sizes as bert-. Any other bert-LAYERSxWIDTH, bert-post-, gpt-, lstm- or
lstm-residual-LAYERSxWIDTH can be trained as well.
"""

from ....errors import InputError, at_least
from ..arguments import Arguments, Given
from ..environment import one_thread

NEEDS_TORCH = False
"""Only an argument LANGUAGE needs it."""

WORDS, LENGTH = 200, 32
"""The number of words and the longest sentence of the grammar of Liu et al. 2022."""


def add_arguments(arguments: Arguments) -> None:
    """The arguments of `satlab models`."""
    words = f"number of words, {WORDS} unless a language is given"
    length = f"longest sentence, which sets the number of positions; {LENGTH} unless a language is given"
    arguments.add_argument("language", type=str | None, default=None, help="a preset's name, or a language's file")
    arguments.add_argument("--vocab", type=int | None, help=words)
    arguments.add_argument("--max_length", type=int | None, help=length)
    arguments.add_flag("--json", help="print a JSON line for each size instead of a table")


def run(given: Given) -> None:
    """Prints the sizes.

    Raises:
        InputError: for a language beside a number of words.
    """
    from ...describe.sizes import as_table, size_rows
    from ..output import print_row

    words, length = given.vocab, given.max_length
    if given.language is not None:
        if words is not None:
            raise InputError(f"language '{given.language}' and --vocab {words}: expected one of the two; leave one out")
        one_thread()
        from ....generators import load_language

        language = load_language(given.language, length)
        words, length = language.vocab_size, language.max_length
    words, length = WORDS if words is None else words, LENGTH if length is None else length
    at_least("vocab", words, 1)
    at_least("max_length", length, 1)
    rows = list(size_rows(words, length))
    if not given.json:
        print(as_table(rows))
        return
    for row in rows:
        print_row(row)
