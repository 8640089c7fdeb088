"""Random members of the family cfg3 of Allen-Zhu and Li, *Physics of Language Models: Part 1* (2023, A.1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..language import Language
from ..pcfg.language import PCFG
from .base import Family, families
from .draws import covers
from .lengths import length_weights
from .uniform_cfg import uniform_cfg

MOST_RULES = 10_000
"""The largest number of rules in a level, and of words."""

MOST_WORDS_IN_A_SENTENCE = 2**11

ATTEMPTS = 1000
"""The number of draws of a level's rules after which the numbers are refused."""


def cfg3(
    levels: Sequence[int],
    words: int,
    degrees: Sequence[int],
    rule_lengths: Sequence[int],
    generator: torch.Generator,
    max_length: int | None = None,
    lengths: Mapping[int, float] | None = None,
) -> PCFG:
    """A random grammar whose rules lead from each level to the next, and from the last level to words.

    The number of rules of a symbol is uniform among `degrees`, the number of symbols in a rule is uniform among
    `rule_lengths`, and these symbols are uniform. A right-hand side that the level already has is drawn again. A level
    is drawn again until it uses all symbols below it. All rules of a symbol are equally likely.

    The published members have levels (1, 3, 3, 3, 3, 3), 3 words and rules of 2 or 3 symbols. A symbol has 2 rules in
    cfg3b and cfg3i, 2 or 3 in cfg3h, 3 in cfg3g, and 3 or 4 in cfg3f. In cfg3b, no symbol occurs twice in a rule; here
    it may. The tasks are those of `uniform_cfg`.

    Args:
        levels: the number of symbols in each level; the first has 1, the start symbol.
        words: the size of the vocabulary.
        degrees: the possible numbers of rules of a symbol.
        rule_lengths: the possible numbers of symbols in a rule.
        generator: the source of all random choices.
        max_length: as for `PCFG`.
        lengths: as for `PCFG`.

    Returns:
        The language.

    Raises:
        InputError: for numbers that do not fit together, and as `uniform_cfg`.
    """
    _check(levels, words, degrees, rule_lengths)
    names = [["S"], *([f"L{depth}_{i + 1}" for i in range(size)] for depth, size in enumerate(levels[1:], start=2))]
    names.append([str(word + 1) for word in range(words)])
    rules = {}
    for symbols, below in pairwise(names):
        rules.update(_level(symbols, below, degrees, rule_lengths, generator))
    return uniform_cfg(rules, max_length, lengths)


def _level(
    symbols: Sequence[str],
    below: Sequence[str],
    degrees: Sequence[int],
    rule_lengths: Sequence[int],
    generator: torch.Generator,
) -> dict[str, list[tuple[str, ...]]]:
    """symbol -> right-hand sides, for the symbols of one level; see `cfg3`."""

    def one_of(choices: Sequence[int]) -> int:
        return choices[int(torch.randint(len(choices), (), generator=generator))]

    slots = len(symbols) * max(degrees) * max(rule_lengths)
    for _ in range(ATTEMPTS if covers(slots, len(below)) else 0):
        sides: dict[tuple[str, ...], str] = {}
        for symbol in symbols:
            wanted = len(sides) + one_of(degrees)
            while len(sides) < wanted:
                drawn = torch.randint(len(below), (one_of(rule_lengths),), generator=generator).tolist()
                sides.setdefault(tuple(below[i] for i in drawn), symbol)
        if {part for right in sides for part in right} == set(below):
            return {symbol: [right for right, owner in sides.items() if owner == symbol] for symbol in symbols}
    raise InputError(
        f"{len(symbols)} symbols with {list(degrees)} rules of {list(rule_lengths)} leave some of the "
        f"{len(below)} symbols below unused; give more rules"
    )


def _check(levels: Sequence[int], words: int, degrees: Sequence[int], rule_lengths: Sequence[int]) -> None:
    for name, numbers in (("levels", levels), ("degrees", degrees), ("rule_lengths", rule_lengths)):
        if not numbers or not all(type(number) is int and number >= 1 for number in numbers):
            raise InputError(f"{name} is {list(numbers)}, expected integers of at least 1; correct it")
    if levels[0] != 1:
        raise InputError(
            f"levels is {list(levels)}, expected 1 for the start, then the sizes of the levels below; correct it"
        )
    if words < 1 or max(levels) * max(degrees) > MOST_RULES or words > MOST_RULES:
        raise InputError(
            f"levels of up to {max(levels)} symbols, up to {max(degrees)} rules each, {words} words: expected "
            f"at least 1 word, at most {MOST_RULES} words and {MOST_RULES} rules per level; correct them"
        )
    for size, below in pairwise([*levels, words]):
        possible = sum(below ** min(length, 12) for length in set(rule_lengths))
        if size * max(degrees) > possible:
            raise InputError(
                f"{size} symbols with up to {max(degrees)} rules of {list(rule_lengths)} over {below} symbols "
                f"below: expected at most {possible} different rules; give fewer"
            )
    if max(rule_lengths) ** min(len(levels), 12) > MOST_WORDS_IN_A_SENTENCE:
        raise InputError(
            f"rules of {max(rule_lengths)} symbols at {len(levels)} levels: expected sentences of at most "
            f"{MOST_WORDS_IN_A_SENTENCE} words; give fewer levels or shorter rules"
        )


@families.register("cfg3")
@dataclass(frozen=True, kw_only=True)
class Cfg3Family(Family):
    """A random grammar with levels: `cfg3`. The defaults are the published sizes, with the degrees of cfg3f.

    Args:
        levels: number of symbols in each level, 1 in the first; [1, 3, 3, 3, 3, 3] unless given.
        words: size of the vocabulary.
        degrees: possible numbers of rules of a symbol; [3, 4] unless given.
        rule_lengths: possible numbers of symbols in a rule; [2, 3] unless given.
        max_length: largest number of words in a sentence; that of the longest sentence unless given.
        lengths: length -> weight, instead of the grammar's own distribution of lengths.
        seed: seed of all random choices.

    Source: Allen-Zhu and Li 2023, Physics of Language Models: Part 1, A.1.
    """

    levels: list[Any] | None = None
    words: int = 3
    degrees: list[Any] | None = None
    rule_lengths: list[Any] | None = None
    max_length: int | None = None
    lengths: dict[Any, Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        generator = random_stream(self.seed, "language")
        sizes = self.levels if self.levels is not None else [1, 3, 3, 3, 3, 3]
        numbers = self.degrees if self.degrees is not None else [3, 4]
        widths = self.rule_lengths if self.rule_lengths is not None else [2, 3]
        return cfg3(sizes, self.words, numbers, widths, generator, self.max_length, length_weights(self.lengths))
