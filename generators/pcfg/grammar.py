"""Probabilistic grammars as rules: reads, checks, binarises and writes them. `notation` describes the syntax."""

import math
import warnings
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...errors import InputError
from ..kernels.binary_rules import Rules
from ..latent.stochastic import ROUNDING, TOLERANCE, as_range, as_sum
from .nltk_rules import empty_rule, empty_word
from .notation import NLTK_TOLERANCE, parse, text_of
from .rules import Nonterminal, ProbabilisticProduction, of_nltk

MOST_NAMED = 5
"""The largest number of symbols that a warning names. It counts the others."""


@dataclass(frozen=True)
class Grammar:
    """A checked grammar: a start symbol, and productions whose probabilities sum to one for each left-hand side."""

    start: Nonterminal
    productions: tuple[ProbabilisticProduction, ...]

    @property
    def nonterminals(self) -> list[Nonterminal]:
        """The left-hand sides in the order of their first rules, with the start symbol first."""
        return list(dict.fromkeys([self.start, *(production.lhs() for production in self.productions)]))

    def to_text(self) -> str:
        """The grammar in NLTK's notation, one rule per line, with exact probabilities. `read_text` restores it."""
        return text_of(self.start, self.productions)


def read_text(text: str) -> Grammar:
    """Reads a grammar in NLTK's notation or in the plain form `probability lhs -> rhs`, as the first rule is written.

    Args:
        text: the text of a grammar file.

    Returns:
        The checked grammar.

    Raises:
        InputError: for a line that is not a rule, and as `check`.
    """
    return check(*parse(text))


def read_nltk(grammar: Any) -> Grammar:
    """The grammar of an nltk.PCFG. Raises InputError for other objects, and as `check` with nltk's tolerance."""
    if not hasattr(grammar, "productions") or not all(hasattr(rule, "prob") for rule in grammar.productions()):
        raise InputError(
            f"grammar is of type {type(grammar).__name__} and has no probabilities, expected an nltk.PCFG; use "
            "nltk.PCFG, or PCFG.from_string for a string"
        )
    return check(grammar.start(), grammar.productions(), NLTK_TOLERANCE)


def check(start: Any, productions: Iterable[Any], tolerance: float = TOLERANCE) -> Grammar:
    """Makes a checked grammar from productions. Drops rules of probability zero; keeps unreachable symbols.

    If the probabilities of a symbol's rules sum to one only within the tolerance, they are renormalised, with one
    warning for all symbols.

    Args:
        start: the start symbol, ours or nltk's.
        productions: the rules, ours or nltk's.
        tolerance: the largest allowed distance of a sum from one.

    Returns:
        The checked grammar.

    Raises:
        InputError: for a sum outside the tolerance, an empty rule or name, a symbol without rules, and two words with
            the same text.
    """
    start = Nonterminal(start.symbol())
    by_symbol: dict[Nonterminal, list[ProbabilisticProduction]] = defaultdict(list)
    for production in map(of_nltk, productions):
        _check_rule(production)
        by_symbol[production.lhs()].append(production)
    if start not in by_symbol:
        raise InputError(f"the start symbol {start} has no rule, expected at least one; add a rule")
    totals = {symbol: math.fsum(rule.prob() for rule in rules) for symbol, rules in by_symbol.items()}
    _check_quotes(by_symbol, totals)
    scale = _scales(totals, tolerance)
    kept = [
        ProbabilisticProduction(symbol, rule.rhs(), prob=rule.prob() / scale[symbol])
        for symbol, rules in by_symbol.items()
        for rule in rules
        if rule.prob()
    ]
    _check_defined(kept)
    _check_words(kept)
    return Grammar(start, tuple(kept))


def _check_rule(production: ProbabilisticProduction) -> None:
    if not production.rhs():
        raise InputError(empty_rule(production.lhs()))
    if not 0 <= production.prob() <= 1 + TOLERANCE:
        raise InputError(f"the rule '{production}' has a probability outside 0 to 1; correct it")
    for part in (production.lhs(), *production.rhs()):
        if any("\ud800" <= character <= "\udfff" for character in str(part)):
            raise InputError(
                f"the name {str(part)!r} holds half a surrogate pair, expected one that a file can hold; rename it"
            )
        if isinstance(part, Nonterminal):
            if not str(part):
                raise InputError(f"the rule '{production}' holds a nonterminal whose name is empty; name it")
        elif part == "":
            raise InputError(empty_word(production.lhs()))


def _check_quotes(
    by_symbol: Mapping[Nonterminal, Iterable[ProbabilisticProduction]], totals: Mapping[Nonterminal, float]
) -> None:
    """Raises InputError if a symbol's rules do not sum to one and a missing quote seems to hide an alternative."""
    for symbol, rules in by_symbol.items():
        words = [part for rule in rules for part in rule.rhs() if isinstance(part, str) and "|" in part and "[" in part]
        if words and abs(totals[symbol] - 1) > TOLERANCE:
            raise InputError(
                f"the rules of {symbol} sum to {as_sum(totals[symbol])}, expected 1, and have the word "
                f"{words[0]!r}; if a quote is missing before this word, add it"
            )


def _check_words(rules: Iterable[ProbabilisticProduction]) -> None:
    """Raises InputError for two different words with the same text, such as 3 and '3'."""
    seen: dict[str, object] = {}
    for part in (part for rule in rules for part in rule.rhs() if not isinstance(part, Nonterminal)):
        if (other := seen.setdefault(str(part), part)) != part:
            raise InputError(
                f"the words {other!r} and {part!r} are both written '{part}', expected distinct words; rename one"
            )


def _scales(totals: Mapping[Nonterminal, float], tolerance: float) -> dict[Nonterminal, float]:
    """The divisor of each symbol's rules: their sum, or 1 if the sum is 1 within rounding. Warns once."""
    for symbol, total in totals.items():
        if not abs(total - 1) <= tolerance * (1 + 1e-9):
            raise InputError(
                f"the rules of {symbol} sum to {as_sum(total, 6, tolerance)}, expected 1 (within {tolerance:.3g}); "
                "correct these probabilities"
            )
    off = {symbol: total for symbol, total in totals.items() if abs(total - 1) > ROUNDING}
    if len(off) == 1:
        symbol, total = next(iter(off.items()))
        warnings.warn(f"the rules of {symbol} sum to {as_sum(total)}; renormalised", stacklevel=3)
    elif off:
        warnings.warn(
            f"the rules of {len(off)} symbols ({some_of(off)}) sum to {as_range(off.values())}; renormalised",
            stacklevel=3,
        )
    return {symbol: off.get(symbol, 1.0) for symbol in totals}


def some_of(symbols: Iterable[Nonterminal]) -> str:
    """The names of the first MOST_NAMED symbols."""
    names = [str(symbol) for symbol in symbols]
    return ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")


def _check_defined(productions: Iterable[ProbabilisticProduction]) -> None:
    defined = {production.lhs() for production in productions}
    for production in productions:
        for child in production.rhs():
            if isinstance(child, Nonterminal) and child not in defined:
                quotes = "; a backslash escapes a quote below a line %escapes" if {"'", '"'} & set(str(child)) else ""
                raise InputError(
                    f"the nonterminal {child}, used by {production.lhs()}, is never defined; add rules for it, "
                    f"or quote it if it is a word{quotes}"
                )


def yield_lengths(grammar: Grammar) -> tuple[dict[Nonterminal, float], dict[Nonterminal, float]]:
    """The smallest and the largest number of words that each symbol yields.

    Args:
        grammar: a checked grammar.

    Returns:
        The smallest, inf for a symbol whose derivations never end, and the largest, inf if there is no bound.
    """
    number = {symbol: i for i, symbol in enumerate(grammar.nonterminals)}
    links = [(rule, s) for rule in grammar.productions for s in rule.rhs() if isinstance(s, Nonterminal)]
    rows, columns = [number[rule.lhs()] for rule, _ in links], [number[s] for _, s in links]
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(len(number), len(number)))
    part = connected_components(graph, connection="strong")[1]
    least, greatest = dict.fromkeys(number, math.inf), dict.fromkeys(number, 0.0)
    for rule, child in links:
        # A symbol that derives itself together with another part has no bound.
        if len(rule.rhs()) > 1 and part[number[rule.lhs()]] == part[number[child]]:
            greatest[rule.lhs()] = math.inf
    users: dict[object, list[ProbabilisticProduction]] = defaultdict(list)
    for rule, child in links:
        users[child].append(rule)
    # Starts with the last rule, because rules usually precede the rules of their children.
    todo = deque(reversed(grammar.productions))
    waiting = set(map(id, todo))
    while todo:
        rule = todo.popleft()
        waiting.discard(id(rule))
        symbol = rule.lhs()
        low = sum(least[s] if isinstance(s, Nonterminal) else 1 for s in rule.rhs())
        high = sum(greatest[s] if isinstance(s, Nonterminal) else 1 for s in rule.rhs())
        if low < least[symbol] or high > greatest[symbol]:
            least[symbol], greatest[symbol] = min(least[symbol], low), max(greatest[symbol], high)
            fresh = [user for user in users[symbol] if id(user) not in waiting]
            waiting.update(map(id, fresh))
            todo.extend(fresh)
    return least, greatest


def binarise(grammar: Grammar) -> Rules:
    """Binarises a grammar: splits long rules, and introduces symbols for the words in rules of several parts.

    Probabilities do not change.

        X -> A 'w' C [p]  becomes  X -> A "'w' C" [p],  "'w' C" -> "'w'" C [1],  "'w'" -> 'w' [1].

    Args:
        grammar: a checked grammar.

    Returns:
        The rules over numbered symbols; the grammar's own symbols come first.
    """
    keys: dict[object, int] = {symbol: i for i, symbol in enumerate(grammar.nonterminals)}
    names = [str(symbol) for symbol in grammar.nonterminals]
    words: dict[str, int] = {}
    waiting: deque[tuple[int, tuple[object, ...], float]] = deque()
    rules = Rules((), len(names), (), [], [], [])

    def word(text: str) -> int:
        return words.setdefault(text, len(words))

    def symbol(part: tuple[object, ...]) -> int:
        """The number of the symbol that rewrites to exactly this sequence. Creates the symbol if there is none."""
        key = part[0] if len(part) == 1 and isinstance(part[0], Nonterminal) else part
        if key in keys:
            return keys[key]
        keys[key] = number = len(names)
        names.append(" ".join(str(s) if isinstance(s, Nonterminal) else repr(s) for s in part))
        waiting.append((number, part, 1.0))
        return number

    def expand(parent: int, right: tuple[object, ...], p: float) -> None:
        if len(right) > 1:
            rules.binary.append((parent, symbol(right[:1]), symbol(right[1:]), p))
        elif isinstance(right[0], Nonterminal):
            rules.unary.append((parent, keys[right[0]], p))
        else:
            rules.lexical.append((parent, word(str(right[0])), p))

    for production in grammar.productions:
        waiting.append((keys[production.lhs()], tuple(production.rhs()), production.prob()))
        while waiting:
            expand(*waiting.popleft())
    return Rules(tuple(names), rules.num_original, tuple(words), rules.unary, rules.binary, rules.lexical)
