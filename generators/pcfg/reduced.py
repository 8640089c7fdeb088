"""Removes useless symbols from a grammar: symbols that no sentence's tree can contain. The language stays the same.

A symbol is useless if the start symbol does not reach it, or if it yields no string of words within the bound on the
length (Hopcroft and Ullman 1979, 4.4). Rules that contain a useless symbol are removed too, and the remaining rules
are renormalised so that the language does not change. With x the least solution of

    x_A = sum over the rules kept of p(A -> rhs) prod_{B in rhs} x_B,

the probabilities

    p'(A -> rhs) = p(A -> rhs) prod_{B in rhs} x_B / x_A

sum to one, and give every tree from S its probability divided by x_S (Nederhof and Satta 2003; Chi 1999).
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable

import numpy as np

from ...errors import InputError, whole_number
from .branching import QuadraticSystem
from .grammar import Grammar, binarise, some_of, yield_lengths
from .rules import Nonterminal, ProbabilisticProduction

DEFAULT_MAX_LENGTH = 32
"""The bound for a grammar that has none itself, if none is given (Liu et al. 2022, A.1); words."""

MOST_WORDS = 4096
"""The largest bound on the length of a grammar's sentences. Such a chart has about 8 million spans."""


def bounded(grammar: Grammar, max_length: int | None) -> tuple[Grammar, int]:
    """Puts a bound on the length of a grammar's sentences.

    Args:
        grammar: a checked grammar.
        max_length: the bound; None means the longest sentence, or DEFAULT_MAX_LENGTH if there is none.

    Returns:
        The grammar without the symbols that are useless within the bound, and the bound.

    Raises:
        InputError: for a bound below 1 or above MOST_WORDS, and as `reduced` does.
    """
    if max_length is None:
        longest = longest_sentence(grammar)
        max_length = int(longest) if longest < math.inf else DEFAULT_MAX_LENGTH
    max_length = whole_number("max_length", max_length)
    if not 1 <= max_length <= MOST_WORDS:
        raise InputError(
            f"max_length is {max_length}, expected 1 to {MOST_WORDS} words in a sentence; give another number"
        )
    return reduced(grammar, max_length), max_length


def warn_of_cut(kept: float) -> None:
    """Warns about the share of a recursive grammar's probability that DEFAULT_MAX_LENGTH cuts off.

    Args:
        kept: the probability of the sentences of at most that length.
    """
    warnings.warn(
        f"the grammar is recursive and has no max_length: sentences of more than {DEFAULT_MAX_LENGTH} words "
        f"({max(1 - kept, 0):.2g} of its probability) are left out; give max_length",
        stacklevel=4,
    )


def longest_sentence(grammar: Grammar) -> float:
    """The number of words in the longest sentence; inf if there is no bound or no sentence."""
    least, greatest = yield_lengths(grammar)
    endless = {symbol for symbol, length in least.items() if length == math.inf}
    if grammar.start in endless:
        return math.inf
    if endless:
        greatest = yield_lengths(Grammar(grammar.start, _without(grammar, endless)))[1]
    return greatest[grammar.start]


def reduced(grammar: Grammar, max_length: int) -> Grammar:
    """Removes the useless symbols, with one warning that counts and names them.

    Args:
        grammar: a checked grammar.
        max_length: the bound on the length.

    Returns:
        The grammar without useless symbols; the same object if there are none.

    Raises:
        InputError: for a start symbol without sentences of at most max_length words.
    """
    least = yield_lengths(grammar)[0]
    start = grammar.start
    if least[start] == math.inf:
        raise InputError(
            f"the nonterminal {start} never ends, expected at most max_length words; add a rule that leads to words"
        )
    if least[start] > max_length:
        raise InputError(
            f"the nonterminal {start} needs {int(least[start])} words, expected at most max_length = "
            f"{max_length}; give a larger max_length"
        )
    too_long = {symbol for symbol, length in least.items() if length > max_length}
    rules = _without(grammar, too_long)
    reached = _reached(start, rules)
    if len(reached) == len(least):
        return grammar
    _warn(grammar, least, too_long, reached, max_length)
    kept = Grammar(start, tuple(rule for rule in rules if rule.lhs() in reached))
    short = {rule.lhs() for rule in grammar.productions if not too_long.isdisjoint(rule.rhs())} & reached
    return _made_good(kept, short) if short else kept


def _without(grammar: Grammar, symbols: set[Nonterminal]) -> tuple[ProbabilisticProduction, ...]:
    """The rules that contain none of the symbols."""
    return tuple(rule for rule in grammar.productions if rule.lhs() not in symbols and symbols.isdisjoint(rule.rhs()))


def _reached(start: Nonterminal, rules: Iterable[ProbabilisticProduction]) -> set[Nonterminal]:
    children: dict[Nonterminal, set[Nonterminal]] = defaultdict(set)
    for rule in rules:
        children[rule.lhs()].update(part for part in rule.rhs() if isinstance(part, Nonterminal))
    reached, todo = {start}, [start]
    while todo:
        fresh = children[todo.pop()] - reached
        reached |= fresh
        todo += fresh
    return reached


def _made_good(grammar: Grammar, short: set[Nonterminal]) -> Grammar:
    """The grammar with the p' of this module's formula for all symbols that lost rules or that lead to such symbols."""
    parents: dict[Nonterminal, set[Nonterminal]] = defaultdict(set)
    for rule in grammar.productions:
        for part in rule.rhs():
            if isinstance(part, Nonterminal):
                parents[part].add(rule.lhs())
    changed, todo = set(short), list(short)
    while todo:
        fresh = parents[todo.pop()] - changed
        changed |= fresh
        todo += fresh
    whole = [i for i, symbol in enumerate(grammar.nonterminals) if symbol not in changed]
    solved = QuadraticSystem.of_rules(binarise(grammar)).least_solution(ones=np.array(whole, dtype=np.int64))
    if solved is None:
        raise InputError(
            f"the remaining rules of {some_of(short)} cannot be renormalised in double precision; remove the "
            "symbols that never end from the grammar"
        )
    x: dict[Nonterminal, float] = dict(zip(grammar.nonterminals, solved.tolist(), strict=False))

    def weight(rule: ProbabilisticProduction) -> float:
        return float(rule.prob()) * math.prod(x[part] for part in rule.rhs() if isinstance(part, Nonterminal))

    totals: dict[Nonterminal, float] = defaultdict(float)
    for rule in grammar.productions:
        totals[rule.lhs()] += weight(rule)
    return Grammar(
        grammar.start,
        tuple(
            ProbabilisticProduction(rule.lhs(), rule.rhs(), prob=weight(rule) / totals[rule.lhs()])
            if rule.lhs() in changed
            else rule
            for rule in grammar.productions
        ),
    )


def _warn(
    grammar: Grammar,
    least: dict[Nonterminal, float],
    too_long: set[Nonterminal],
    reached: set[Nonterminal],
    max_length: int,
) -> None:
    start = grammar.start
    apart = [symbol for symbol in least if symbol not in reached and symbol not in too_long]
    endless = [symbol for symbol in least if least[symbol] == math.inf]
    long = [symbol for symbol in least if max_length < least[symbol] < math.inf]
    kinds = [
        (apart, "cannot", "cannot", f"be reached from {start}"),
        (endless, "never ends", "never end", ""),
        (long, "needs", "need", f"more than max_length = {max_length} words"),
    ]
    found = ", ".join(
        f"{len(some)} {one if len(some) == 1 else many} {rest}".rstrip() + f" ({some_of(some)})"
        for some, one, many, rest in kinds
        if some
    )
    count = len(least) - len(reached)
    first = grammar.productions[0].lhs() == start
    above = next((symbol for symbol in apart if first and start in _reached(symbol, grammar.productions)), None)
    remedy = ""
    if above is not None:
        remedy = f"; the start symbol is that of the first rule, {start}; to choose another, add %start {above}"
    warnings.warn(
        f"removed {count} nonterminal{'s' if count > 1 else ''}, without changing the language: {found}{remedy}",
        stacklevel=4,
    )
