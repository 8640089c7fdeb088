"""Random grammars in Chomsky normal form, without layers: A -> B C and A -> word."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..language import Language
from ..pcfg.grammar import check
from ..pcfg.language import PCFG
from ..pcfg.reduced import DEFAULT_MAX_LENGTH
from ..pcfg.rules import Nonterminal, ProbabilisticProduction
from .base import Family, families
from .draws import dirichlet, distinct, emissions
from .lengths import length_weights
from .target_floor import at_target_floor
from .word_rules import word_rules

MOST_SYMBOLS, MOST_RULES = 2**13, 2**20
"""The largest numbers of symbols and rules. The closure of the unary rules is a dense table of symbols by symbols."""

MOST_WORDS_IN_A_SENTENCE = 2**12


def random_pcfg(
    symbols: int,
    rules: int,
    words: int,
    generator: torch.Generator,
    max_length: int = DEFAULT_MAX_LENGTH,
    binary_mass: float = 0.4,
    rule_concentration: float = 1.0,
    emission_concentration: float = 1.0,
    words_per_symbol: int | None = None,
    zipf: float | None = None,
    temperature: float = 1.0,
    lengths: Mapping[int, float] | None = None,
) -> PCFG:
    """A random grammar in Chomsky normal form, with sentences of at most max_length words.

    The first rules A -> B C lead from symbols that S reaches to two new symbols each, so that S reaches all symbols.
    The other rules are uniform among all triples. A symbol without binary rules emits only words. Every symbol emits
    some words, so that all trees can end. A node with binary rules has 2 binary_mass children on average: trees die out
    if binary_mass is below 1/2, and may grow forever if it is above. The bound on the length is exact either way.

    Args:
        symbols: the number of nonterminals, including the start S.
        rules: the number of distinct rules A -> B C.
        words: the size of the vocabulary.
        generator: the source of all random choices.
        max_length: the largest number of words in a sentence.
        binary_mass: the total probability of a symbol's binary rules.
        rule_concentration: the parameter of the Dirichlet distribution of a symbol's binary rules.
        emission_concentration: the parameter of the Dirichlet distribution of a symbol's words; see `draws.emissions`.
        words_per_symbol: the number of words that a symbol emits; all words unless given.
        zipf: as for `draws.emissions`.
        temperature: as for `draws.emissions`.
        lengths: as for `PCFG`.

    Returns:
        The language.

    Raises:
        InputError: for numbers that do not fit together.
    """
    _check(symbols, rules, words, words_per_symbol, max_length, binary_mass)
    names = [Nonterminal("S"), *(Nonterminal(f"N{i}") for i in range(1, symbols))]
    share = words if words_per_symbol is None else words_per_symbol
    by_parent = _pairs_by_parent(symbols, rules, generator)
    rows = emissions(symbols, share, generator, emission_concentration, zipf, temperature).tolist()
    productions = []
    for symbol, pairs, row in zip(names, by_parent, rows, strict=True):
        weights = dirichlet(1, len(pairs), rule_concentration, generator)[0].tolist() if pairs else []
        for (left, right), p in zip(pairs, weights, strict=True):
            productions.append(ProbabilisticProduction(symbol, (names[left], names[right]), prob=binary_mass * p))
        productions += word_rules(symbol, row, words, generator, 1 - binary_mass if pairs else 1.0)
    return PCFG(check(names[0], productions), max_length, None, lengths)


def _pairs_by_parent(symbols: int, rules: int, generator: torch.Generator) -> list[list[tuple[int, int]]]:
    """The children (left, right) of each symbol's rules. Rules are distinct, and the start reaches every symbol."""
    order = torch.cat([torch.zeros(1, dtype=torch.long), 1 + torch.randperm(symbols - 1, generator=generator)])
    fresh = torch.arange(1, symbols, 2)
    known = torch.rand(len(fresh), 2, generator=generator, dtype=torch.float64) * fresh[:, None]
    parent, companion = order[known.long()].unbind(1)
    right = torch.where(fresh + 1 < symbols, order[(fresh + 1).clamp(max=symbols - 1)], companion)
    links = ((parent * symbols + order[fresh]) * symbols + right).tolist()
    taken = set(links)
    others = [code for code in distinct(rules, symbols**3, generator).tolist() if code not in taken]
    pairs: list[list[tuple[int, int]]] = [[] for _ in range(symbols)]
    for code in [*links, *others[: rules - len(links)]]:
        pairs[code // symbols**2].append((code // symbols % symbols, code % symbols))
    return pairs


def _check(
    symbols: int, rules: int, words: int, words_per_symbol: int | None, max_length: int, binary_mass: float
) -> None:
    if not 1 <= symbols <= MOST_SYMBOLS or words < 1:
        raise InputError(
            f"{symbols} symbols, {words} words: expected 1 to {MOST_SYMBOLS} symbols and at least 1 word; correct them"
        )
    most = min(symbols**3, MOST_RULES)
    if not symbols // 2 <= rules <= most or rules < 1:
        raise InputError(
            f"rules is {rules}, expected {max(symbols // 2, 1)} to {most}, so that different rules reach all "
            f"{symbols} symbols; correct it"
        )
    if words_per_symbol is not None and not 1 <= words_per_symbol <= words:
        raise InputError(
            f"words_per_symbol is {words_per_symbol}, expected 1 to {words}, the number of words; correct it"
        )
    if max_length > MOST_WORDS_IN_A_SENTENCE:
        raise InputError(
            f"max_length is {max_length}, expected at most {MOST_WORDS_IN_A_SENTENCE}; give a smaller number"
        )
    if not 0 < binary_mass < 1:
        raise InputError(f"binary_mass is {binary_mass}, expected a probability between 0 and 1; correct it")


@families.register("random-pcfg")
@dataclass(frozen=True, kw_only=True)
class RandomPCFGFamily(Family):
    """A random grammar in Chomsky normal form: `random_pcfg`.

    Args:
        symbols: number of nonterminals, including the start.
        rules: number of distinct rules A -> B C.
        words: size of the vocabulary.
        max_length: largest number of words in a sentence.
        binary_mass: total probability of a symbol's binary rules.
        rule_concentration: parameter of the Dirichlet distribution of a symbol's binary rules.
        emission_concentration: parameter of the Dirichlet distribution of a symbol's words.
        zipf: exponent of the words' frequencies, instead of emission_concentration.
        temperature: temperature of the emission, p^(1/temperature); see `draws.tempered`.
        target_floor: loss floor with one word hidden, which determines the temperature; nats.
        words_per_symbol: number of words that a symbol emits; all words unless given.
        lengths: length -> weight, instead of the grammar's own distribution of lengths.
        seed: seed of all random choices.
    """

    symbols: int
    rules: int
    words: int
    max_length: int = DEFAULT_MAX_LENGTH
    binary_mass: float = 0.4
    rule_concentration: float = 1.0
    emission_concentration: float = 1.0
    zipf: float | None = None
    temperature: float = 1.0
    target_floor: float | None = None
    words_per_symbol: int | None = None
    lengths: dict[Any, Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        concentrations = (self.rule_concentration, self.emission_concentration)
        rows = (self.binary_mass, *concentrations, self.words_per_symbol, self.zipf)
        wanted = length_weights(self.lengths)

        def at(t: float) -> PCFG:
            generator = random_stream(self.seed, "language")
            return random_pcfg(self.symbols, self.rules, self.words, generator, self.max_length, *rows, t, wanted)

        return at_target_floor(at, self.target_floor, self.temperature, self.seed)
