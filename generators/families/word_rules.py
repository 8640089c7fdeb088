"""The rules by which a symbol of a random grammar emits words."""

from collections.abc import Iterator, Sequence

import torch

from ..pcfg.rules import Nonterminal, ProbabilisticProduction


def word_rules(
    symbol: Nonterminal, shares: Sequence[float], words: int, generator: torch.Generator, mass: float = 1.0
) -> Iterator[ProbabilisticProduction]:
    """The rules symbol -> w0, w1, ... of as many random words as there are shares.

    Args:
        symbol: the left-hand side.
        shares: the probabilities of the words, in the order of their indices.
        words: the size of the vocabulary.
        generator: chooses the words.
        mass: the total probability of these rules.

    Yields:
        The rules.
    """
    chosen = torch.randperm(words, generator=generator)[: len(shares)].sort().values.tolist()
    for word, p in zip(chosen, shares, strict=True):
        yield ProbabilisticProduction(symbol, (f"w{word}",), prob=mass * p)
