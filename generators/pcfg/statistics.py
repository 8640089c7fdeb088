"""What is known exactly about a grammar as it is cut: lengths, trees and their entropy.

A tree of the language is drawn by first drawing its length T and then a tree of T words, p(tree) = p(T) p(tree | T), so

    H(tree) = H(T) + sum_w p(T = w) H_w,    H_w = log P(S yields w words) - E[log of the product of the rules | w],

and the mean over the trees of w words of anything that adds up over their rules follows from the widths alone:

    D_w(A) = E[sum of costs; A yields w words]
           = sum_{A -> B} p (cost b_w(B) + D_w(B))
           + sum_{A -> B C} p sum_k (cost b_k(B) b_{w-k}(C) + D_k(B) b_{w-k}(C) + b_k(B) D_{w-k}(C))

with b_w(A) = P(A yields w words): the expectation semiring (Eisner 2002; Li and Eisner 2009), O(max_length^2 rules).
"""

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from nltk.grammar import Nonterminal
from scipy.sparse import coo_array, eye_array
from scipy.sparse.linalg import splu

from ..kernels.binary_rules import Rules
from .branching import BranchingStatistics, Vector, branching_statistics
from .language import PCFG

Cost = Callable[[int, float], float]
"""From a rule's parent and probability to what it costs."""


@dataclass(frozen=True)
class GrammarStatistics:
    """A PCFG: rules by kind as they are written, the grammar without a bound, and the language as cut. All exact.

    symbols, words; unary (A -> B), binary (A -> B C), long (more, or words beside symbols), lexical (A -> 'w') rules.
    uncut: the closed forms without a bound on the length. mass: P(T <= max_length) there.
    length_probability [max_length + 1]: p(T) of the language. expected_length, length_sd: its words a sentence.
    expected_rules: rules of the grammar in a tree. derivation_entropy: H(tree), nats.
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
    """The statistics of a grammar, in float64 from closed forms; nothing is sampled."""
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
    """log P(A yields w words), by w and A [max_length + 1, symbols], before the cut; -inf where it cannot."""
    share, log_scale = language.tables.yields()
    with np.errstate(divide="ignore"):
        return np.log(share) + log_scale[:, None]


def merged(rules: Rules) -> Rules:
    """The rules with those that are named twice as one, their probabilities added."""

    def together(entries: Iterable[tuple]) -> list[tuple]:
        total: dict[Hashable, float] = defaultdict(float)
        for *rule, p in entries:
            total[tuple(rule)] += p
        return [(*rule, p) for rule, p in total.items()]  # type: ignore[misc]

    return replace(rules, unary=together(rules.unary), binary=together(rules.binary), lexical=together(rules.lexical))


def tree_means(rules: Rules, log_yield: Vector, cost: Cost) -> Vector:
    """E[sum over the rules of a tree of cost | T = w] [max_length + 1]; nan for a w that no tree has.

    log_yield as `log_yields` gives it. Each width has a scale of its own, so nothing underflows that the charts keep.
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
    """Rules (parent, ..., p) of one kind as columns, with what each costs."""

    def __init__(self, rules: list[tuple], size: int, cost: Cost) -> None:
        self.parts = np.array([rule[:-1] for rule in rules], int).reshape(-1, size).T
        self.parent = self.parts[0]
        self.p = np.array([rule[-1] for rule in rules], float)
        self.cost = np.array([cost(rule[0], rule[-1]) for rule in rules], float)

    def sums(self, values: Vector, n: int) -> Vector:
        """[n symbols]: the sum over the rules of each symbol of p values."""
        return np.bincount(self.parent, self.p * values, minlength=n).astype(float)
