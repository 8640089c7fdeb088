"""The random hierarchy model (Cagnetta, Petrini, Tomasini, Favero and Wyart 2024): a hierarchy of synonyms.

A class rewrites to one of m tuples of s features. Each feature rewrites to one of m tuples of features one level below,
and so on for L levels, down to s^L words. All tuples of a level are different, so the words determine the class.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..language import Language
from ..pcfg.grammar import check
from ..pcfg.language import PCFG
from ..pcfg.rules import Nonterminal, ProbabilisticProduction
from ..pcfg.span import Span
from .base import Family, families
from .draws import covers, distinct, zipf_weights

MOST_RULES = 2**18
"""The largest number of rules in a level."""

MOST_WORDS_IN_A_SENTENCE = 2**12

ATTEMPTS = 10_000
"""The number of draws of a level's rules after which the numbers are refused."""


def random_hierarchy(
    classes: int,
    features: int,
    synonyms: int,
    tuple_size: int,
    depth: int,
    generator: torch.Generator,
    zipf: float = 0.0,
    zipf_levels: Collection[int] | None = None,
) -> PCFG:
    """A random member: the start S rewrites to a class at level L, and so on down to level 1, whose rules give words.

    The rules of a level are different s-tuples, uniform among all choices that use every feature below. This needs
    m <= v^(s-1); at equality every string is equally likely. Sentences have s^L words. The model of 2024 has zipf = 0;
    Cagnetta, Kang and Wyart 2025 use zipf = 1 + a at one level.

    The task `class` asks for the class, which is a function of the words. The task `level-l` asks for the feature over
    the first s^l words.

    Args:
        classes: n_c, the number of classes, which are equally likely.
        features: v, the number of symbols of each level below the classes, and the number of words.
        synonyms: m, the number of rules of each symbol.
        tuple_size: s, the number of symbols in each rule.
        depth: L.
        generator: the source of all random choices.
        zipf: the k-th rule of a symbol has a probability proportional to k^-zipf.
        zipf_levels: the levels with such rules; all unless given. At other levels, each rule has probability 1/m.

    Returns:
        The language.

    Raises:
        InputError: for numbers that do not fit together.
    """
    _check(classes, features, synonyms, tuple_size, depth, zipf_levels)
    level_names: list[list[Any]] = [[f"w{i}" for i in range(features)]]
    level_names += [[Nonterminal(f"F{level}_{i + 1}") for i in range(features)] for level in range(1, depth)]
    level_names.append([Nonterminal(f"C{i + 1}") for i in range(classes)])
    start = Nonterminal("S")
    productions = [ProbabilisticProduction(start, (symbol,), prob=1 / classes) for symbol in level_names[depth]]
    for level in range(depth, 0, -1):
        skewed = zipf_levels is None or level in zipf_levels
        weights = zipf_weights(synonyms, zipf if skewed else 0.0).tolist()
        rules = _tuples(len(level_names[level]), synonyms, features, tuple_size, generator)
        productions += _productions(level_names[level], level_names[level - 1], rules, weights)
    spans = {"class": Span(None, tuple(map(str, level_names[depth])))}
    for level in range(1, depth):
        spans[f"level-{level}"] = Span(tuple_size**level, tuple(map(str, level_names[level])))
    return PCFG(check(start, productions), None, spans)


def _productions(
    parents: Sequence[Nonterminal], below: Sequence[Any], rules: Sequence[Any], weights: Sequence[float]
) -> Iterator[ProbabilisticProduction]:
    """The rules of a level. `rules` [parents, synonyms, tuple size] contains indices of symbols of the level below."""
    for symbol, right_sides in zip(parents, rules, strict=True):
        for right, p in zip(right_sides, weights, strict=True):
            yield ProbabilisticProduction(symbol, tuple(below[i] for i in right), prob=p)


def _tuples(symbols: int, synonyms: int, features: int, size: int, generator: torch.Generator) -> list[list[list[int]]]:
    """Distinct tuples of features [symbols, synonyms, size], drawn until every feature is used."""
    powers = features ** torch.arange(size)
    for _ in range(ATTEMPTS if covers(symbols * synonyms * size, features) else 0):
        codes = distinct(symbols * synonyms, features**size, generator)
        tuples = codes[:, None] // powers % features
        if len(tuples.unique()) == features:
            rules: list[list[list[int]]] = tuples.reshape(symbols, synonyms, size).tolist()
            return rules
    raise InputError(
        f"{symbols} symbols with {synonyms} rules of {size} leave some of the {features} features unused; "
        "give more rules"
    )


def _check(
    classes: int, features: int, synonyms: int, tuple_size: int, depth: int, zipf_levels: Collection[int] | None
) -> None:
    given = {"classes": classes, "features": features, "synonyms": synonyms, "depth": depth}
    for name, value in given.items():
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1; correct it")
    if tuple_size < 2:
        raise InputError(f"tuple_size is {tuple_size}, expected at least 2; correct it")
    if tuple_size > MOST_WORDS_IN_A_SENTENCE or tuple_size ** min(depth, 13) > MOST_WORDS_IN_A_SENTENCE:
        raise InputError(
            f"sentences of {tuple_size}^{depth} words: expected at most {MOST_WORDS_IN_A_SENTENCE}; give fewer "
            "levels or shorter tuples"
        )
    symbols, tuples = (max(classes, features) if depth > 1 else classes), features**tuple_size
    if symbols * synonyms > min(tuples, MOST_RULES) or tuples >= 2**62:
        raise InputError(
            f"{symbols} symbols with {synonyms} rules each: expected at most {min(tuples, MOST_RULES)} in all, "
            f"from fewer than 2^62 tuples of {tuple_size} of the {features} features; give fewer synonyms"
        )
    for level in zipf_levels or ():
        if type(level) is not int or not 1 <= level <= depth:
            raise InputError(f"zipf_levels has {level!r}, expected levels from 1 to {depth}; correct it")


@families.register("random-hierarchy")
@dataclass(frozen=True, kw_only=True)
class HierarchyFamily(Family):
    """The random hierarchy model: `random_hierarchy`.

    Args:
        classes: number of classes, the symbols below the start.
        features: number of symbols of each level below the classes, and of words.
        synonyms: number of rules of each symbol.
        tuple_size: number of symbols in each rule.
        depth: number of levels; sentences have tuple_size^depth words.
        zipf: the k-th rule of a symbol has a probability proportional to k^-zipf.
        zipf_levels: the levels with such rules; all unless given.
        seed: seed of all random choices.

    Source: Cagnetta, Petrini, Tomasini, Favero and Wyart 2024.
    """

    classes: int
    features: int
    synonyms: int
    tuple_size: int = 2
    depth: int
    zipf: float = 0.0
    zipf_levels: list[Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        sizes = (self.classes, self.features, self.synonyms, self.tuple_size, self.depth)
        return random_hierarchy(*sizes, random_stream(self.seed, "language"), self.zipf, self.zipf_levels)
