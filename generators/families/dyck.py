"""Dyck-k: properly nested brackets of k kinds, of bounded length and, optionally, of bounded depth.

Let q be the probability that a string follows inside a pair, and likewise after it. The grammar without empty rules is,
for each kind i,

    S -> (i )i  [(1-q)^2 / k]  |  (i S )i  [q (1-q) / k]  |  (i )i S  [(1-q) q / k]  |  (i S )i S  [q^2 / k]

A string of n pairs has one tree, in which n - 1 of the 2 n places inside and after a pair are filled. So

    p(string) = q^(n-1) (1-q)^(n+1) / k^n,

which is the same for all strings of equal length. With a bound on the length, P(n) is proportional to
Catalan(n) (q (1-q))^n: q and 1 - q give the same language, and q = 1/2 gives the longest strings on average. `lengths`
replaces this distribution.

With a depth of at most D, there is a symbol S_d for the pairs at each depth d. Let x = q (1-q) be the weight of a pair,
and let

    Z_d = x (1 + Z_{d+1}) (1 + Z_d),  Z_{D+1} = 0

be the total weight of all strings that S_d yields. The place inside a pair is filled with probability
Z_{d+1} / (1 + Z_{d+1}), and the place after it with probability Z_d / (1 + Z_d) (Chi 1999). Then
p(string) = (x / k)^n / Z_1, again the same for all strings of equal length.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from typing_extensions import override

from ...errors import InputError
from ..language import Language
from ..pcfg.grammar import Grammar, check
from ..pcfg.language import PCFG
from ..pcfg.reduced import MOST_WORDS
from ..pcfg.rules import Nonterminal, ProbabilisticProduction
from ..tasks import checked_positions
from .base import Family, families
from .lengths import length_weights

LEAST_CONTINUATION = 1e-6
"""The smallest q and 1 - q. Below it, q^2 and the weights of long strings leave the range of a grammar's text."""


class Dyck(PCFG):
    """Dyck-k over sentences of at most max_length words: ( and ), or (1 and )1, (2 and )2, ... if k > 1.

    Args:
        kinds: k.
        max_length: an even number.
        continuation: q.
        max_depth: D; no bound unless given.
        lengths: length -> weight; replaces the distribution of lengths (see `PCFG`).
        task_positions: the L of the tasks depth-L; by default a quarter, half and three quarters of max_length.

    Raises:
        InputError: for kinds or max_depth below 1, a max_length that is odd or below 2, a continuation outside 1e-6 to
            1 - 1e-6, and as `PCFG`.
    """

    def __init__(
        self,
        kinds: int,
        max_length: int,
        continuation: float = 0.5,
        max_depth: int | None = None,
        lengths: Mapping[int, float] | None = None,
        task_positions: Sequence[int] | None = None,
    ) -> None:
        if not 1 <= kinds <= 10_000 or (max_depth is not None and max_depth < 1) or max_length > MOST_WORDS:
            raise InputError(
                f"kinds is {kinds}, max_depth {max_depth}, max_length {max_length}: expected 1 to 10,000 kinds, a "
                f"depth of at least 1 and at most {MOST_WORDS} words; correct them"
            )
        if max_length < 2 or max_length % 2:
            raise InputError(f"max_length is {max_length}, expected an even number, at least 2; correct it")
        if not LEAST_CONTINUATION <= continuation <= 1 - LEAST_CONTINUATION:
            raise InputError(
                f"continuation is {continuation}, expected a probability between 1e-6 and 1 - 1e-6; correct it"
            )
        self.kinds, self.continuation, self.max_depth = kinds, continuation, max_depth
        self.task_positions = checked_positions(task_positions, max_length - 1)
        super().__init__(_grammar(kinds, continuation, max_depth, max_length), max_length, {}, lengths)

    def write(self, path: str) -> str:
        """Writes path.yaml: the arguments of this class, which determine the grammar bit for bit."""
        positions = None if self.task_positions is None else list(self.task_positions)
        keys = {
            "family": "dyck",
            "kinds": self.kinds,
            "max_length": self.max_length,
            "continuation": self.continuation,
            "max_depth": self.max_depth,
            "lengths": self.lengths,
            "task_positions": positions,
        }
        with open(path + self.suffix, "w", encoding="utf-8") as file:
            yaml.safe_dump({k: v for k, v in keys.items() if v is not None}, file, sort_keys=False)
        return path + self.suffix


@families.register("dyck")
@dataclass(frozen=True, kw_only=True)
class DyckFamily(Family):
    """Nested brackets: `Dyck`.

    Args:
        kinds: number of kinds of brackets.
        max_length: largest number of words in a sentence, an even number.
        continuation: probability that a string follows inside a pair, and likewise after it.
        max_depth: largest number of open brackets; no bound unless given.
        lengths: length -> weight, instead of the grammar's own distribution of lengths.
        task_positions: the L of the tasks depth-L; by default a quarter, half and three quarters of max_length.
    """

    kinds: int
    max_length: int
    continuation: float = 0.5
    max_depth: int | None = None
    lengths: dict[Any, Any] | None = None
    task_positions: list[Any] | None = None

    @override
    def build(self) -> Language:
        lengths = length_weights(self.lengths)
        return Dyck(self.kinds, self.max_length, self.continuation, self.max_depth, lengths, self.task_positions)


def _grammar(kinds: int, continuation: float, max_depth: int | None, max_length: int) -> Grammar:
    """The grammar in the docstring of this module."""
    if max_depth is None or max_depth >= max_length // 2:
        start = Nonterminal("S")
        return check(start, _rules(kinds, start, start, continuation, continuation))
    per_pair = continuation * (1 - continuation)
    rules: list[ProbabilisticProduction] = []
    inside = 0.0
    for depth in range(max_depth, 0, -1):
        following = per_pair * (1 + inside) / (1 - per_pair * (1 + inside))
        fills = (inside / (1 + inside), following / (1 + following))
        rules = [*_rules(kinds, Nonterminal(f"S_{depth}"), Nonterminal(f"S_{depth + 1}"), *fills), *rules]
        inside = following
    return check(Nonterminal("S_1"), rules)


def _rules(
    kinds: int, here: Nonterminal, below: Nonterminal, inside: float, after: float
) -> Iterator[ProbabilisticProduction]:
    """The rules of `here`: a pair, with `below` inside it and `here` after it with the probabilities given."""
    for kind in range(1, kinds + 1):
        opening, closing = ("(", ")") if kinds == 1 else (f"({kind}", f"){kind}")
        for content, p in (((), 1 - inside), ((below,), inside)):
            for rest, q in (((), 1 - after), ((here,), after)):
                right = (opening, *content, closing, *rest)
                yield ProbabilisticProduction(here, right, prob=p * q / kinds)
