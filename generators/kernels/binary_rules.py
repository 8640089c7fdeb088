"""A grammar in binary form over numbered symbols: the input of the charts and the samplers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """A grammar in binary form. Symbols and words are numbered; the start symbol is number 0.

    Args:
        symbols: the names of the symbols: first those of the grammar, then those that binarisation added.
        num_original: the number of symbols of the grammar itself.
        words: the words.
        unary: rules (parent, child, p).
        binary: rules (parent, left, right, p).
        lexical: rules (symbol, word, p).
    """

    symbols: tuple[str, ...]
    num_original: int
    words: tuple[str, ...]
    unary: list[tuple[int, int, float]]
    binary: list[tuple[int, int, int, float]]
    lexical: list[tuple[int, int, float]]
