"""A grammar in binary form over numbered symbols: what charts and samplers work on."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rules:
    """A grammar in binary form over numbered symbols; the first `num_original` symbols are the grammar's own.

    unary (parent, child, p), binary (parent, left, right, p), lexical (symbol, word, p).
    """

    symbols: tuple[str, ...]
    num_original: int
    words: tuple[str, ...]
    unary: list[tuple[int, int, float]]
    binary: list[tuple[int, int, int, float]]
    lexical: list[tuple[int, int, float]]
