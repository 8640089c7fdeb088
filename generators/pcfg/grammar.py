"""Probabilistic grammars as rules: checked, binarised, read and written (the syntax is that of notation.py)."""

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from nltk.grammar import Nonterminal, ProbabilisticProduction
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ...errors import InputError
from ..kernels.binary_rules import Rules
from ..latent.stochastic import TOLERANCE, check_total
from .notation import decimal, parse, written


@dataclass(frozen=True)
class Grammar:
    """A checked grammar: start symbol and productions whose probabilities sum to one for each left-hand side."""

    start: Nonterminal
    productions: tuple[ProbabilisticProduction, ...]

    @property
    def nonterminals(self) -> list[Nonterminal]:
        """The left-hand sides in the order in which they first appear, the start symbol first."""
        return list(dict.fromkeys([self.start, *(production.lhs() for production in self.productions)]))

    def to_text(self) -> str:
        """NLTK's notation, a rule a line, no bit of the probabilities lost. Raises InputError for unwritable names."""
        lines = [f"%start {written(self.start)}"]
        for production in self.productions:
            right = " ".join(map(written, production.rhs()))
            lines.append(f"{written(production.lhs())} -> {right} [{decimal(production.prob())}]")
        return "\n".join(lines) + "\n"


def read_text(text: str) -> Grammar:
    """A grammar in NLTK's notation or in the plain form `probability lhs -> rhs`; its first rule tells which.

    Raises InputError for a line that is no rule, and as `check` does.
    """
    return check(*parse(text))


def check(start: Nonterminal, productions: Iterable[ProbabilisticProduction]) -> Grammar:
    """The grammar made of these productions, renormalised where rounding left them (with a warning); rules of zero go.

    Raises InputError where the rules of a symbol do not sum to one, a rule is empty, and a symbol is not defined or not
    reachable from the start.
    """
    by_symbol: dict[Nonterminal, list[ProbabilisticProduction]] = defaultdict(list)
    for production in productions:
        if not production.rhs():
            raise InputError(
                f"the rule '{production.lhs()} ->' is empty, expected at least one symbol; rewrite it away"
            )
        if not 0 <= production.prob() <= 1 + TOLERANCE:
            raise InputError(f"the rule '{production}' has no probability between 0 and 1; correct it")
        by_symbol[production.lhs()].append(production)
    if start not in by_symbol:
        raise InputError(f"the start symbol {start} has no rule, expected at least one; define it")
    kept = []
    for symbol, rules in by_symbol.items():
        total = math.fsum(rule.prob() for rule in rules)
        scale = total if check_total(total, f"the rules of {symbol}") else 1.0
        kept += [ProbabilisticProduction(symbol, rule.rhs(), prob=rule.prob() / scale) for rule in rules if rule.prob()]
    _check_connected(start, kept)
    return Grammar(start, tuple(kept))


def _check_connected(start: Nonterminal, productions: list[ProbabilisticProduction]) -> None:
    children: dict[Nonterminal, list[Nonterminal]] = defaultdict(list)
    for production in productions:
        children[production.lhs()] += [symbol for symbol in production.rhs() if isinstance(symbol, Nonterminal)]
    for symbol, below in children.items():
        for child in below:
            if child not in children:
                raise InputError(
                    f"the nonterminal {child}, used by {symbol}, is never defined: "
                    f"add rules for it, or quote it if it is a word"
                )
    reached, todo = {start}, [start]
    while todo:
        fresh = set(children[todo.pop()]) - reached
        reached |= fresh
        todo += fresh
    for symbol in children:
        if symbol not in reached:
            raise InputError(f"the nonterminal {symbol} cannot be reached from {start}: use it in a rule or remove it")


def yield_lengths(grammar: Grammar) -> tuple[dict[Nonterminal, float], dict[Nonterminal, float]]:
    """The least and the greatest number of words that each symbol yields; inf where it never ends or has no bound."""
    number = {symbol: i for i, symbol in enumerate(grammar.nonterminals)}
    links = [(rule, s) for rule in grammar.productions for s in rule.rhs() if isinstance(s, Nonterminal)]
    rows, columns = [number[rule.lhs()] for rule, _ in links], [number[s] for _, s in links]
    graph = coo_array((np.ones(len(links)), (rows, columns)), shape=(len(number), len(number)))
    part = connected_components(graph, connection="strong")[1]
    least, greatest = dict.fromkeys(number, math.inf), dict.fromkeys(number, 0.0)
    for rule, child in links:
        # What comes back to itself with something beside it has no bound.
        if len(rule.rhs()) > 1 and part[number[rule.lhs()]] == part[number[child]]:
            greatest[rule.lhs()] = math.inf
    changed = True
    while changed:
        changed = False
        for rule in grammar.productions:
            symbol = rule.lhs()
            low = sum(least[s] if isinstance(s, Nonterminal) else 1 for s in rule.rhs())
            high = sum(greatest[s] if isinstance(s, Nonterminal) else 1 for s in rule.rhs())
            if low < least[symbol] or high > greatest[symbol]:
                least[symbol], greatest[symbol] = min(least[symbol], low), max(greatest[symbol], high)
                changed = True
    return least, greatest


def binarise(grammar: Grammar) -> Rules:
    """Long rules split from the right and words in them given symbols of their own; no probability changes.

    X -> A 'w' C [p]  becomes  X -> A "'w' C" [p],  "'w' C" -> "'w'" C [1],  "'w'" -> 'w' [1].
    """
    keys: dict[object, int] = {symbol: i for i, symbol in enumerate(grammar.nonterminals)}
    names = [str(symbol) for symbol in grammar.nonterminals]
    words: dict[str, int] = {}
    waiting: deque[tuple[int, tuple[object, ...], float]] = deque()
    rules = Rules((), len(names), (), [], [], [])

    def word(text: str) -> int:
        return words.setdefault(text, len(words))

    def symbol(part: tuple[object, ...]) -> int:
        """The number of the symbol that yields exactly this sequence, made where there is none yet."""
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
