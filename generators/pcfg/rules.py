"""Nonterminals and rules with nltk's interface, but without nltk, because importing nltk takes two seconds.

The classes and methods have nltk's names. `of_nltk` and `to_nltk` convert between the two.
"""

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import nltk


class Nonterminal:
    """A symbol that rules rewrite, identified by its name, usually a string. Words are plain strings."""

    __slots__ = ("_hash", "_symbol")

    def __init__(self, symbol: Hashable) -> None:
        self._symbol, self._hash = symbol, hash(symbol)

    def symbol(self) -> Any:
        """The name."""
        return self._symbol

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Nonterminal) and self._symbol == other._symbol

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return str(self._symbol)

    __repr__ = __str__


class ProbabilisticProduction:
    """A rule A -> B c ... [p]."""

    __slots__ = ("_lhs", "_prob", "_rhs")

    def __init__(self, lhs: Nonterminal, rhs: Sequence[Any], prob: float) -> None:
        self._lhs, self._rhs, self._prob = lhs, tuple(rhs), prob

    def lhs(self) -> Nonterminal:
        """The symbol that is rewritten."""
        return self._lhs

    def rhs(self) -> tuple[Any, ...]:
        """The right-hand side: symbols, which are instances of `Nonterminal`, and words."""
        return self._rhs

    def prob(self) -> float:
        """p, the probability of the rule given its left-hand side."""
        return self._prob

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProbabilisticProduction) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(self._parts)

    @property
    def _parts(self) -> tuple[object, ...]:
        return self._lhs, self._rhs, self._prob

    def __str__(self) -> str:
        return f"{self._lhs} -> {' '.join(map(repr, self._rhs))} [{self._prob:g}]"

    __repr__ = __str__


def of_nltk(production: Any) -> ProbabilisticProduction:
    """Converts an nltk.ProbabilisticProduction to our class. Returns a rule of our class unchanged."""
    if isinstance(production, ProbabilisticProduction):
        return production
    rhs = [Nonterminal(part.symbol()) if hasattr(part, "symbol") else part for part in production.rhs()]
    return ProbabilisticProduction(Nonterminal(production.lhs().symbol()), rhs, production.prob())


def to_nltk(rule: ProbabilisticProduction) -> "nltk.ProbabilisticProduction":
    """Converts a rule to nltk's class."""
    from nltk.grammar import Nonterminal as Symbol
    from nltk.grammar import ProbabilisticProduction as Production

    rhs = [Symbol(part.symbol()) if isinstance(part, Nonterminal) else part for part in rule.rhs()]
    return Production(Symbol(rule.lhs().symbol()), rhs, prob=rule.prob())
