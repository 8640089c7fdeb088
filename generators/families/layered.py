"""Random layered grammars (Liu et al. 2022, A.1): each rule leads from one layer to the next."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..language import Language
from ..pcfg.grammar import check
from ..pcfg.language import PCFG
from ..pcfg.rules import Nonterminal, ProbabilisticProduction
from ..pcfg.span import Span
from .base import Family, families
from .draws import covers, dirichlet, emissions
from .lengths import length_weights
from .target_floor import at_target_floor
from .word_rules import word_rules

ATTEMPTS = 10_000
"""The number of draws of a layer's rules after which the numbers are refused."""

MOST_LAYERS, MOST_SYMBOLS = 13, 2**9
"""The largest number of layers (for sentences of 2^12 words), and of symbols in a layer and rules of a symbol."""


def layered_pcfg(
    layers: Sequence[int],
    rules: Sequence[int],
    words: int,
    generator: torch.Generator,
    rule_concentration: float = 1.0,
    emission_concentration: float = 1.0,
    words_per_symbol: int | None = None,
    exit_probability: tuple[float, float] | None = None,
    zipf: float | None = None,
    temperature: float = 1.0,
    lengths: Mapping[int, float] | None = None,
) -> PCFG:
    """A random grammar S -> L1 (uniform), L1 -> L2 L2, L2 -> L3 L3, ...; symbols of the last layer emit words.

    Without exit_probability, all sentences have 2^(layers - 1) words. The tasks A, B and C choose among the symbols of
    the layer that spans the whole sentence, 4 words and 2 words. If lengths vary, B and C choose among all symbols
    below the first layer.

    Args:
        layers: the number of symbols in each layer, top to bottom.
        rules: for each layer but the last, the number of rules of each symbol; a rule is a random pair of symbols of
            the next layer.
        words: the size of the vocabulary.
        generator: the source of all random choices.
        rule_concentration: the parameter of the Dirichlet distribution of a symbol's rules.
        emission_concentration: the parameter of the Dirichlet distribution of a symbol's words; see `draws.emissions`.
        words_per_symbol: the number of words that a symbol of the last layer emits; all words unless given.
        exit_probability: (low, high). With a probability that is uniform in this range, a symbol below the first layer
            emits one random word of its own instead of a pair, so that lengths vary.
        zipf: as for `draws.emissions`.
        temperature: as for `draws.emissions`.
        lengths: as for `PCFG`.

    Returns:
        The language.

    Raises:
        InputError: for numbers that do not fit together or leave symbols that no rule reaches.
    """
    _check(layers, rules, words, words_per_symbol, exit_probability)
    start = Nonterminal("S")
    names = [[Nonterminal(f"L{depth + 1}_{i + 1}") for i in range(size)] for depth, size in enumerate(layers)]
    productions = [ProbabilisticProduction(start, (symbol,), prob=1 / layers[0]) for symbol in names[0]]
    for depth, count in enumerate(rules):
        pairs = _pairs(layers[depth], count, layers[depth + 1], generator)
        weights = dirichlet(layers[depth], count, rule_concentration, generator).tolist()
        exits = exit_probability if depth > 0 else None
        productions += _rules_of(names[depth], names[depth + 1], pairs, weights, words, exits, generator)
    share = words if words_per_symbol is None else words_per_symbol
    rows = emissions(layers[-1], share, generator, emission_concentration, zipf, temperature).tolist()
    for symbol, row in zip(names[-1], rows, strict=True):
        productions += word_rules(symbol, row, words, generator)
    return PCFG(check(start, productions), None, _spans(names, exit_probability is not None), lengths)


def _rules_of(
    layer: Sequence[Nonterminal],
    below: Sequence[Nonterminal],
    pairs: Sequence[Sequence[tuple[int, int]]],
    weights: Sequence[Sequence[float]],
    words: int,
    exits: tuple[float, float] | None,
    generator: torch.Generator,
) -> Iterator[ProbabilisticProduction]:
    """The rules of a layer: for each symbol, first the word with which it exits, if it may, then its pairs."""
    for symbol, own_pairs, own_weights in zip(layer, pairs, weights, strict=True):
        rest = 1.0
        if exits is not None:
            low, high = exits
            leaves = low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))
            word = int(torch.randint(words, (), generator=generator))
            yield ProbabilisticProduction(symbol, (f"w{word}",), prob=leaves)
            rest -= leaves
        for (left, right), p in zip(own_pairs, own_weights, strict=True):
            yield ProbabilisticProduction(symbol, (below[left], below[right]), prob=rest * p)


def _check(
    layers: Sequence[int],
    rules: Sequence[int],
    words: int,
    words_per_symbol: int | None,
    exit_probability: tuple[float, float] | None,
) -> None:
    if not all(type(number) is int for number in (*layers, *rules)):
        raise InputError(f"layers {list(layers)}, rules {list(rules)}: expected lists of integers; correct them")
    if len(layers) < 2 or len(rules) != len(layers) - 1 or min(*layers, *rules, words) < 1:
        raise InputError(
            f"{len(layers)} layers with rules for {len(rules)}, {words} words: expected at least 2 layers, "
            "rules for all but the last, and no number below 1; correct them"
        )
    if len(layers) > MOST_LAYERS or max(*layers, *rules) > MOST_SYMBOLS:
        raise InputError(
            f"{len(layers)} layers of up to {max(layers)} symbols with up to {max(rules)} rules: expected at "
            f"most {MOST_LAYERS} layers, and {MOST_SYMBOLS} symbols and rules; ask for fewer"
        )
    if words_per_symbol is not None and not 1 <= words_per_symbol <= words:
        raise InputError(
            f"words_per_symbol is {words_per_symbol}, expected 1 to {words}, the number of words; correct it"
        )
    if exit_probability is not None and not 0 <= exit_probability[0] <= exit_probability[1] < 1:
        raise InputError(f"exit_probability is {exit_probability}, expected 0 <= low <= high < 1; correct it")


def _pairs(symbols: int, count: int, below: int, generator: torch.Generator) -> list[list[tuple[int, int]]]:
    """`count` distinct pairs of the next layer for each symbol, drawn until every symbol below is used."""
    if count > below**2 or 2 * symbols * count < below:
        raise InputError(
            f"{count} rules for each of {symbols} symbols over {below} symbols below: expected at most "
            f"{below**2}, and enough to reach all below; correct it"
        )
    for _ in range(ATTEMPTS if covers(2 * symbols * count, below) else 0):
        rows = [torch.randperm(below**2, generator=generator)[:count].clone() for _ in range(symbols)]
        drawn: Tensor = torch.stack(rows)
        if len(torch.cat([drawn // below, drawn % below]).unique()) == below:
            return [[(pair // below, pair % below) for pair in row] for row in drawn.tolist()]
    raise InputError(
        f"{count} rules for each of {symbols} symbols leave some of the {below} symbols below unreached; "
        "give more rules"
    )


def _spans(names: list[list[Nonterminal]], lengths_vary: bool) -> dict[str, Span]:
    """The spans of the tasks A, B and C; see `layered_pcfg`."""
    spans = {"A": Span(None, tuple(map(str, names[0])))}
    for name, words in (("B", 4), ("C", 2)):
        depth = len(names) - words.bit_length()
        if depth < 0 or (depth == 0 and not lengths_vary):
            continue
        layers = names[1:] if lengths_vary else [names[depth]]
        spans[name] = Span(words, tuple(str(symbol) for layer in layers for symbol in layer))
    return spans


@families.register("layered-pcfg")
@dataclass(frozen=True, kw_only=True)
class LayeredFamily(Family):
    """A random grammar in which a symbol of a layer rewrites to two symbols of the next layer: `layered_pcfg`.

    Args:
        layers: number of symbols in each layer, top to bottom.
        rules: for each layer but the last, number of rules of each symbol.
        words: size of the vocabulary.
        rule_concentration: parameter of the Dirichlet distribution of a symbol's rules.
        emission_concentration: parameter of the Dirichlet distribution of a symbol's words.
        zipf: exponent of the words' frequencies, instead of emission_concentration.
        temperature: temperature of the emission, p^(1/temperature); see `draws.tempered`.
        target_floor: loss floor with one word hidden, which determines the temperature; nats.
        words_per_symbol: number of words that a symbol of the last layer emits; all words unless given.
        exit_probability: [low, high], the range of the probability that a symbol below the first layer emits a word.
        lengths: length -> weight, instead of the grammar's own distribution of lengths.
        seed: seed of all random choices.

    Source: Liu et al. 2022, 2210.14199, A.1.
    """

    layers: list[Any]
    rules: list[Any]
    words: int
    rule_concentration: float = 1.0
    emission_concentration: float = 1.0
    zipf: float | None = None
    temperature: float = 1.0
    target_floor: float | None = None
    words_per_symbol: int | None = None
    exit_probability: list[Any] | None = None
    lengths: dict[Any, Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        exits, given = None, self.exit_probability
        if given is not None:
            if len(given) != 2 or not all(isinstance(p, (int, float)) for p in given):
                raise InputError(f"exit_probability is {given}, expected two numbers, [low, high]; correct it")
            exits = (float(given[0]), float(given[1]))
        concentrations = (self.rule_concentration, self.emission_concentration)
        share, wanted = self.words_per_symbol, length_weights(self.lengths)

        def at(t: float) -> PCFG:
            sizes, generator = (self.layers, self.rules, self.words), random_stream(self.seed, "language")
            return layered_pcfg(*sizes, generator, *concentrations, share, exits, self.zipf, t, wanted)

        return at_target_floor(at, self.target_floor, self.temperature, self.seed)
