"""Context-free grammars without probabilities: all rules of a symbol are equally likely.

If each rule leads from one level of symbols to the next, as in Allen-Zhu and Li 2023 (*Physics of Language Models:
Part 1*), levels have tasks.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from typing_extensions import override

from ...errors import InputError
from ..language import Language
from ..pcfg.grammar import Grammar, check
from ..pcfg.language import PCFG
from ..pcfg.nltk_rules import empty_word
from ..pcfg.reduced import bounded, longest_sentence
from ..pcfg.rules import Nonterminal, ProbabilisticProduction
from ..pcfg.span import Span
from .base import Family, families
from .lengths import length_weights

PART = re.compile(r"""('[^']*'|"[^"]*")(?=[\s|]|$)|\||[^\s|]+""")
"""A part of a text of right-hand sides: a word in quotes, a bar, or anything else up to a space or bar."""

RightSides = Sequence[tuple[str, ...]]

LEAST_SHARE = 0.1
"""A level has a task if one width of its first constituent is at least this likely."""

MOST_WORDS_IN_A_SENTENCE = 2**12


def uniform_cfg(
    rules: Mapping[str, RightSides], max_length: int | None = None, lengths: Mapping[int, float] | None = None
) -> PCFG:
    """The language of a grammar in which each rule of a symbol has probability 1 / (the number of the symbol's rules).

    A grammar has levels if all paths from the start to a symbol have the same length. Level 2 are the symbols in the
    start's rules, and so on. The task `level-l` asks which symbol of level l, if any, spans the first w words, where w
    is the likeliest width of the level's first constituent in the grammar without a bound. A level has no task if no
    width has a probability of at least LEAST_SHARE. A grammar without levels has the tasks of `PCFG`.

    Args:
        rules: symbol -> right-hand sides. The first symbol is the start; parts that are not keys are words.
        max_length: as for `PCFG`.
        lengths: as for `PCFG`.

    Returns:
        The language.

    Raises:
        InputError: for an empty or repeated right-hand side, sentences of more than MOST_WORDS_IN_A_SENTENCE words, and
            as `PCFG`.
    """
    productions = []
    for symbol, right_sides in rules.items():
        if not right_sides or not all(right_sides) or len(set(right_sides)) != len(right_sides):
            raise InputError(
                f"the rules of {symbol} are {[' '.join(right) for right in right_sides]}, expected distinct "
                "right-hand sides, none empty; correct them"
            )
        for right in right_sides:
            parts = tuple(Nonterminal(part) if part in rules else part for part in right)
            productions.append(ProbabilisticProduction(Nonterminal(symbol), parts, prob=1 / len(right_sides)))
    start = next(iter(rules), None)
    if start is None:
        raise InputError("the grammar has no rules, expected entries such as S: A B | C; add some")
    grammar = check(Nonterminal(start), productions)
    longest = longest_sentence(grammar) if max_length is None else max_length
    if MOST_WORDS_IN_A_SENTENCE < longest < math.inf:
        raise InputError(
            f"sentences of up to {longest:g} words: expected at most {MOST_WORDS_IN_A_SENTENCE}; give a smaller "
            "max_length"
        )
    grammar, max_length = bounded(grammar, max_length)
    return PCFG(grammar, max_length, _level_spans(grammar), lengths)


def _level_spans(grammar: Grammar) -> dict[str, Span] | None:
    """The tasks of the levels; None if the grammar has no levels."""
    levels = _levels(grammar)
    if levels is None:
        return None
    by_symbol: dict[Nonterminal, list[ProbabilisticProduction]] = defaultdict(list)
    for production in grammar.productions:
        by_symbol[production.lhs()].append(production)
    yields: dict[Nonterminal, np.ndarray] = {}
    for symbol in sorted(by_symbol, key=lambda symbol: -levels[symbol]):
        yields[symbol] = _mixture([(rule.prob(), _side_by_side(rule.rhs(), yields)) for rule in by_symbol[symbol]])
    spans, first = {}, {grammar.start: 1.0}
    for level in range(2, max(levels.values()) + 1):
        below: dict[Nonterminal, float] = defaultdict(float)
        for symbol, p in first.items():
            for rule in by_symbol[symbol]:
                if isinstance(rule.rhs()[0], Nonterminal):
                    below[rule.rhs()[0]] += p * rule.prob()
        first = below
        widths = _mixture([(p, yields[symbol]) for symbol, p in first.items()])
        if widths.max(initial=0.0) >= LEAST_SHARE:
            symbols = tuple(str(symbol) for symbol in grammar.nonterminals if levels[symbol] == level)
            spans[f"level-{level}"] = Span(int(widths.argmax()), symbols)
    return spans


def _levels(grammar: Grammar) -> dict[Nonterminal, int] | None:
    """symbol -> 1 + its distance from the start; None if two paths to a symbol differ in length."""
    levels = {grammar.start: 1}
    rules = defaultdict(list)
    for production in grammar.productions:
        rules[production.lhs()].append(production.rhs())
    todo = [grammar.start]
    for symbol in todo:
        for part in {part for right in rules[symbol] for part in right if isinstance(part, Nonterminal)}:
            if part not in levels:
                levels[part] = levels[symbol] + 1
                todo.append(part)
            elif levels[part] != levels[symbol] + 1:
                return None
    return levels


def _side_by_side(right: Sequence[object], yields: Mapping[Nonterminal, np.ndarray]) -> np.ndarray:
    """p(width) of a right-hand side [widths], from p(width) of its symbols."""
    total = np.ones(1)
    for part in right:
        widths = yields[part] if isinstance(part, Nonterminal) else np.array([0.0, 1.0])
        total = np.convolve(total, widths)[: MOST_WORDS_IN_A_SENTENCE + 1]
    return total


def _mixture(parts: Sequence[tuple[float, np.ndarray]]) -> np.ndarray:
    """sum_i p_i w_i [widths] of weights p_i and distributions w_i of widths."""
    total = np.zeros(max((len(widths) for _, widths in parts), default=1))
    for p, widths in parts:
        total[: len(widths)] += p * widths
    return total


def _sides_of(symbol: str, text: str, symbols: Collection[str]) -> list[tuple[str, ...]]:
    """The right-hand sides in a text. Spaces and bars within quotes belong to a word."""
    sides: list[list[str]] = [[]]
    for part in PART.finditer(text):
        word = part[0]
        if word == "|":
            sides.append([])
        elif part[1] is None:
            sides[-1].append(word)
        elif len(word) == 2:
            raise InputError(f"rules: {empty_word(symbol)}")
        elif word[1:-1] in symbols:
            raise InputError(f"rules: {symbol} has the word {word}, which is also a symbol; rename one of them")
        else:
            sides[-1].append(word[1:-1])
    return [tuple(side) for side in sides]


@families.register("uniform-cfg")
@dataclass(frozen=True, kw_only=True)
class UniformCFGFamily(Family):
    """A grammar without probabilities; all rules of a symbol are equally likely: `uniform_cfg`.

    Args:
        rules: symbol -> its right-hand sides in one string, separated by |; words with spaces or bars are in quotes.
        max_length: largest number of words in a sentence; that of the longest sentence unless given.
        lengths: length -> weight, instead of the grammar's own distribution of lengths.
    """

    rules: dict[Any, Any]
    max_length: int | None = None
    lengths: dict[Any, Any] | None = None

    @override
    def build(self) -> Language:
        sides, symbols = {}, set(map(str, self.rules))
        for symbol, text in self.rules.items():
            if isinstance(text, bool) or not isinstance(text, (str, int)):
                raise InputError(
                    f"rules: {symbol} has {text!r}, expected right-hand sides such as: A B | C; correct it"
                )
            sides[str(symbol)] = _sides_of(str(symbol), str(text), symbols)
        return uniform_cfg(sides, self.max_length, length_weights(self.lengths))
