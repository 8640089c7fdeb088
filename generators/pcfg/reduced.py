"""Grammars without useless symbols: those that no sentence's tree can hold go, and the language stays the same.

A symbol is useless where the start does not lead to it, or where it yields no words at all or none within the bound on
the length (Hopcroft and Ullman 1979, 4.4). Rules that hold one go with it, and what they took of a symbol's probability
is made good exactly: with x the least solution of x_A = sum over the rules kept of p(A -> rhs) prod_{B in rhs} x_B,

    p'(A -> rhs) = p(A -> rhs) prod_{B in rhs} x_B / x_A

sums to one and gives every tree from S its probability divided by x_S (Nederhof and Satta 2003; Chi 1999).
"""

import math
import warnings
from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from nltk.grammar import Nonterminal, ProbabilisticProduction

from ...errors import InputError
from .branching import QuadraticSystem
from .grammar import Grammar, binarise, some_of, yield_lengths


def longest_sentence(grammar: Grammar) -> float:
    """The number of words of the longest sentence; inf where there is no bound or no sentence."""
    least, greatest = yield_lengths(grammar)
    endless = {symbol for symbol, length in least.items() if length == math.inf}
    if grammar.start in endless:
        return math.inf
    if endless:
        greatest = yield_lengths(Grammar(grammar.start, _without(grammar, endless)))[1]
    return greatest[grammar.start]


def reduced(grammar: Grammar, max_length: int) -> Grammar:
    """The grammar without its useless symbols, with one warning that counts and names them.

    A grammar without any comes back as it is. Raises InputError where the start has no sentence of at most max_length
    words.
    """
    least = yield_lengths(grammar)[0]
    start = grammar.start
    if least[start] == math.inf:
        raise InputError(f"the nonterminal {start} never ends, expected at most max_length words: give it a way out")
    if least[start] > max_length:
        raise InputError(
            f"the nonterminal {start} needs {int(least[start])} words, expected at most max_length = {max_length}: "
            "allow longer sentences"
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
    """The rules that hold none of the symbols."""
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
    """The rules of the symbols that lost some, and of all that lead to these, as p' of this module's formula."""
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
            f"what is left of the rules of {some_of(short)} cannot be made to sum to one in double precision; "
            "remove the symbols that never end by hand"
        )
    x = dict(zip(grammar.nonterminals, solved.tolist(), strict=False))

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
    remedy = (
        "" if above is None else f"; {start} is the start, the first rule's symbol: to name another, add %start {above}"
    )
    warnings.warn(
        f"removed {count} nonterminal{'s' if count > 1 else ''}, which leaves the language the same: {found}{remedy}",
        stacklevel=4,
    )
