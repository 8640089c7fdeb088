"""Probabilistic grammars as text and as rules: read, checked, binarised and written.

The notation is NLTK's:  NP -> Det N [0.7] | 'she' [0.3]   with quoted words, `#` comments and an optional `%start`.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from nltk.grammar import Nonterminal, ProbabilisticProduction, read_grammar

from ..errors import InputError
from .stochastic import TOLERANCE, check_total

SYMBOL = re.compile(r"""([^\s'"|\[\]#%][^\s|\[\]]*(?:\|<[^\s>]*>)*)\s*""")
"""A nonterminal: NLTK's own, and the names that treebanks and nltk's binarisation give (NP-SBJ|<DT-NN>)."""

EXAMPLE = "NP -> Det N [0.7] | 'she' [0.3]"


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
        """NLTK's notation, a rule a line, every bit of the probabilities kept. Raises InputError for unwritable names."""
        lines = [f"%start {_written(self.start)}"]
        for production in self.productions:
            right = " ".join(map(_written, production.rhs()))
            lines.append(f"{_written(production.lhs())} -> {right} [{_decimal(production.prob())}]")
        return "\n".join(lines) + "\n"


def read_text(text: str) -> Grammar:
    """A grammar in NLTK's notation. Raises InputError for a line that is no rule, and as `check` does."""
    if not re.sub(r"(?m)^\s*(#.*|%.*)?$", "", text).strip():
        raise InputError(f"the grammar has no rules, expected lines such as {EXAMPLE}")
    try:
        start, productions = read_grammar(text, _read_symbol, probabilistic=True)
    except (ValueError, IndexError) as error:
        raise InputError(f"{str(error).rstrip()}; expected a rule such as {EXAMPLE}") from None
    return check(start, productions)


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
    least = dict.fromkeys(grammar.nonterminals, math.inf)
    greatest = dict.fromkeys(grammar.nonterminals, 0.0)
    rounds = len(least) + 1
    for round_ in range(2 * rounds):
        for production in grammar.productions:
            symbol = production.lhs()
            low = sum(least[s] if isinstance(s, Nonterminal) else 1 for s in production.rhs())
            high = sum(greatest[s] if isinstance(s, Nonterminal) else 1 for s in production.rhs())
            least[symbol] = min(least[symbol], low)
            if high > greatest[symbol]:
                # Longer derivations than there are symbols repeat one of them: what still grows then has no bound.
                greatest[symbol] = high if round_ < rounds else math.inf
    return least, greatest


@dataclass(frozen=True)
class Rules:
    """A grammar in binary form over numbered symbols; the first `num_original` symbols are the grammar's own.

    unary (parent, child, p), binary (parent, left, right, p), lexical (symbol, word, p).
    """

    symbols: tuple[str, ...]
    num_original: int
    words: tuple[str, ...]
    unary: list[tuple[int, int, float]]
    binary: list[tuple[int, int, int, float]]
    lexical: list[tuple[int, int, float]]


def binarise(grammar: Grammar) -> Rules:
    """Long rules split from the right and words in them given symbols of their own; no probability changes.

    X -> A 'w' C [p]  becomes  X -> A "'w' C" [p],  "'w' C" -> "'w'" C [1],  "'w'" -> 'w' [1].
    """
    keys: dict[object, int] = {symbol: i for i, symbol in enumerate(grammar.nonterminals)}
    names = [str(symbol) for symbol in grammar.nonterminals]
    words: dict[str, int] = {}
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
        expand(number, part, 1.0)
        return number

    def expand(parent: int, right: tuple[object, ...], p: float) -> None:
        if len(right) > 1:
            rules.binary.append((parent, symbol(right[:1]), symbol(right[1:]), p))
        elif isinstance(right[0], Nonterminal):
            rules.unary.append((parent, keys[right[0]], p))
        else:
            rules.lexical.append((parent, word(str(right[0])), p))

    for production in grammar.productions:
        expand(keys[production.lhs()], tuple(production.rhs()), production.prob())
    return Rules(tuple(names), rules.num_original, tuple(words), rules.unary, rules.binary, rules.lexical)


def _read_symbol(line: str, position: int) -> tuple[Nonterminal, int]:
    match = SYMBOL.match(line, position)
    if not match:
        raise ValueError(f"expected a nonterminal, found: {line[position:]}")
    return Nonterminal(match.group(1)), match.end()


def _written(symbol: object) -> str:
    text = str(symbol)
    if isinstance(symbol, Nonterminal):
        if SYMBOL.fullmatch(text):
            return text
    elif "'" not in text:
        return f"'{text}'"
    elif '"' not in text:
        return f'"{text}"'
    raise InputError(f"{text!r} cannot be written in NLTK's notation: rename it")


def _decimal(p: float) -> str:
    """The shortest digits that read back as p, without an exponent (NLTK's notation knows none)."""
    text = repr(float(p))
    return text if "e" not in text else f"{p:.{17 - math.floor(math.log10(p))}f}"
