"""Exact statistics of a grammar under its bound on the length: lengths, trees and their entropy.

The distribution of trees factors into the length T and a tree of T words: p(tree) = p(T) p(tree | T). So

    H(tree) = H(T) + sum_w p(T = w) H_w,    H_w = log P(S yields w words) - E[log of the product of the rules | w].

For any cost that is a sum over the rules of a tree, the mean over the trees of w words follows from a recursion:

    D_w(A) = E[sum of costs; A yields w words]
           = sum_{A -> B} p (cost b_w(B) + D_w(B))
           + sum_{A -> B C} p sum_k (cost b_k(B) b_{w-k}(C) + D_k(B) b_{w-k}(C) + b_k(B) D_{w-k}(C))

with b_w(A) = P(A yields w words). This is the expectation semiring (Eisner 2002; Li and Eisner 2009); the work is
O(max_length^2 rules).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVarTuple

import numpy as np
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import splu

from ..kernels.binary_rules import Rules
from .branching import BranchingStatistics, Vector, branching_statistics
from .language import PCFG
from .rules import Nonterminal

Cost = Callable[[int, float], float]
"""The cost of a rule as a function of its parent and its probability."""

Numbers = TypeVarTuple("Numbers")


@dataclass(frozen=True)
class GrammarStatistics:
    """Exact statistics of a PCFG: its rules as written, the grammar without a bound, and the language with its bound.

    Args:
        symbols: the number of nonterminals.
        words: the number of words.
        unary: the number of rules A -> B.
        binary: the number of rules A -> B C.
        long: the number of all other rules: longer ones, and pairs with at least one word.
        lexical: the number of rules A -> 'w'.
        uncut: the closed forms without a bound on the length.
        mass: P(T <= max_length) without the bound.
        length_probability: p(T) of the language, [max_length + 1].
        expected_length: the mean number of words in a sentence.
        length_sd: its standard deviation.
        expected_rules: the mean number of the grammar's rules in a tree.
        derivation_entropy: H(tree), nats.
    """

    symbols: int
    words: int
    unary: int
    binary: int
    long: int
    lexical: int
    uncut: BranchingStatistics
    mass: float
    length_probability: tuple[float, ...]
    expected_length: float
    length_sd: float
    expected_rules: float
    derivation_entropy: float


def grammar_statistics(language: PCFG) -> GrammarStatistics:
    """The statistics of a grammar, in float64, computed exactly without sampling."""
    rules, log_yield = merged(language.rules), log_yields(language)
    lengths = language.length_log_prob.exp().cpu().numpy()
    possible = lengths > 0
    surprisal = tree_means(rules, log_yield, lambda parent, p: -math.log(p))[possible]
    count = tree_means(rules, log_yield, lambda parent, p: float(parent < rules.num_original))[possible]
    of_length = lengths[possible]
    mean = float(of_length @ np.flatnonzero(possible))
    variance = float(of_length @ (np.flatnonzero(possible) - mean) ** 2)
    entropy = of_length @ (log_yield[possible, 0] + surprisal - np.log(of_length))
    kinds = [
        _kind(production.rhs()) for production in {(p.lhs(), p.rhs()): p for p in language.grammar.productions}.values()
    ]
    return GrammarStatistics(
        symbols=rules.num_original,
        words=language.vocab_size,
        **{kind: kinds.count(kind) for kind in ("unary", "binary", "long", "lexical")},
        uncut=branching_statistics(language.grammar),
        mass=float(np.exp(np.logaddexp.reduce(log_yield[:, 0]))),
        length_probability=tuple(lengths.tolist()),
        expected_length=mean,
        length_sd=math.sqrt(variance),
        expected_rules=float(of_length @ count),
        derivation_entropy=max(float(entropy), 0.0),
    )


def _kind(right: tuple[object, ...]) -> str:
    symbols = sum(isinstance(part, Nonterminal) for part in right)
    if len(right) == 1:
        return "unary" if symbols else "lexical"
    return "binary" if symbols == len(right) == 2 else "long"


def log_yields(language: PCFG) -> Vector:
    """log P(A yields w words) without the bound, [max_length + 1, symbols]; -inf if A cannot yield w words."""
    share, log_scale = language.tables.yields()
    with np.errstate(divide="ignore"):
        logs: Vector = np.log(share) + log_scale[:, None]
    return logs


def merged(rules: Rules) -> Rules:
    """The rules, with equal rules merged and their probabilities added."""
    unary, binary, lexical = _together(rules.unary), _together(rules.binary), _together(rules.lexical)
    return replace(rules, unary=unary, binary=binary, lexical=lexical)


def _together(entries: Iterable[tuple[*Numbers, float]]) -> list[tuple[*Numbers, float]]:
    total: dict[tuple[*Numbers], float] = defaultdict(float)
    for entry in entries:
        total[entry[:-1]] += entry[-1]
    return [(*rule, p) for rule, p in total.items()]


def tree_means(rules: Rules, log_yield: Vector, cost: Cost) -> Vector:
    """E[sum over the rules of a tree of cost | T = w]. Each width has its own scale, so nothing underflows.

    Args:
        rules: the grammar.
        log_yield: the result of `log_yields`.
        cost: the cost of a rule.

    Returns:
        [max_length + 1]; nan for a w that no tree has.
    """
    widths, n = log_yield.shape
    top = log_yield.max(1)
    scale = np.where(top > -np.inf, top, 0.0)
    share = np.exp(log_yield - scale[:, None])
    total = np.zeros((widths, n))
    unary, binary = _Table(rules.unary, 2, cost), _Table(rules.binary, 3, cost)
    lexical = _Table(rules.lexical, 2, cost)
    links = coo_array((unary.p, (unary.parent, unary.parts[1])), shape=(n, n))
    solve = splu((eye_array(n) - links).tocsc()).solve
    left, right = binary.parts[1:]
    for width in range(1, widths):
        given = unary.sums(share[width, unary.parts[1]] * unary.cost, n)
        if width == 1:
            given = given + lexical.sums(lexical.cost, n) * np.exp(-scale[1])
        else:
            k = np.arange(1, width)[:, None]
            weight = np.exp(scale[k] + scale[width - k] - scale[width])
            b, c = weight * share[k, left], share[width - k, right]
            sums = (b * c).sum(0) * binary.cost
            sums += (weight * total[k, left] * c + b * total[width - k, right]).sum(0)
            given = given + binary.sums(sums, n)
        total[width] = solve(given)
    with np.errstate(invalid="ignore"):
        return total[:, 0] / share[:, 0]


class _Table:
    """Rules (parent, ..., p) of one kind as columns, with the cost of each."""

    def __init__(self, rules: Sequence[tuple[float, ...]], size: int, cost: Cost) -> None:
        self.parts = np.array([rule[:-1] for rule in rules], int).reshape(-1, size).T
        self.parent = self.parts[0]
        self.p = np.array([rule[-1] for rule in rules], float)
        self.cost = np.array([cost(int(rule[0]), rule[-1]) for rule in rules], float)

    def sums(self, values: Vector, n: int) -> Vector:
        """The sum of p * values over the rules of each symbol, [n symbols]."""
        return np.bincount(self.parent, self.p * values, minlength=n).astype(float)
