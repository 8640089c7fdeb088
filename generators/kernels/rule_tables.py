"""A binarised grammar as arrays, and the widths that its symbols can yield."""

from typing import NamedTuple

import numpy as np

from .binary_rules import Rules


class RuleTables(NamedTuple):
    """A binarised grammar as arrays.

    Args:
        num_symbols: N.
        left: the left child of each pair of children that some rule has, [P].
        right: the right child of each pair, [P].
        rule_pair: the pair of each binary rule, [R].
        rule_parent: the parent of each binary rule, [R].
        rule_p: the probability of each binary rule, [R].
        leaves: the symbols that emit words, [leaf symbols].
        closure: the sums over chains of unary rules, (I - R)^-1 [N, N], with R the matrix of unary rules.
    """

    num_symbols: int
    left: np.ndarray
    right: np.ndarray
    rule_pair: np.ndarray
    rule_parent: np.ndarray
    rule_p: np.ndarray
    leaves: np.ndarray
    closure: np.ndarray

    @classmethod
    def from_rules(cls, rules: Rules, leaves: list[int], closure: np.ndarray) -> "RuleTables":
        """The arrays of `rules`. Equal rules become one rule with the sum of their probabilities."""
        n = len(rules.symbols)
        parent, left, right = (np.array([rule[i] for rule in rules.binary], dtype=np.int64) for i in range(3))
        p = np.array([rule[3] for rule in rules.binary], dtype=np.float64)
        key, place = np.unique(parent * n * n + left * n + right, return_inverse=True)
        pairs, pair = np.unique(key % (n * n), return_inverse=True)
        totals = np.bincount(place, p, len(key)) if len(key) else np.zeros(0)
        return cls(n, pairs // n, pairs % n, pair, key // (n * n), totals, np.array(leaves), closure)


def feasible_widths(rules: RuleTables, emits: np.ndarray, max_length: int) -> np.ndarray:
    """Which symbols can yield w words, [max_length + 1, N] bool.

    Args:
        rules: the grammar.
        emits: which leaf symbols have a word, [leaf symbols] bool.
        max_length: the largest w.

    Returns:
        True at [w, A] if A yields some w words.
    """
    feasible = np.zeros((max_length + 1, rules.num_symbols), dtype=bool)
    top, bottom = np.nonzero(rules.closure > 0)
    made = np.zeros(rules.num_symbols, dtype=bool)
    made[rules.leaves[emits]] = True
    feasible[1, top[made[bottom]]] = True
    for width in range(2, max_length + 1):
        ways: np.ndarray = feasible[1:width][:, rules.left] & feasible[1:width][::-1][:, rules.right]
        possible: np.ndarray = np.any(ways, axis=0)
        made = np.zeros(rules.num_symbols, dtype=bool)
        made[rules.rule_parent[possible[rules.rule_pair]]] = True
        feasible[width, top[made[bottom]]] = True
    return feasible


def useful_widths(rules: RuleTables, feasible: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Which symbols can span w words in a tree with a wanted root, found from the top down.

    Args:
        rules: the grammar.
        feasible: the result of `feasible_widths`.
        roots: which symbols are wanted as roots over which widths, [length + 1, N] bool.

    Returns:
        [length + 1, N] bool, True at [w, A] if A can yield w words and a tree with a wanted root contains it.
    """
    useful = roots.copy()
    top, bottom = np.nonzero(rules.closure > 0)
    for width in range(len(roots) - 1, 0, -1):
        useful[width, bottom[useful[width][top]]] = True
        pairs = np.zeros(len(rules.left), dtype=bool)
        pairs[rules.rule_pair[useful[width][rules.rule_parent]]] = True
        left, right = rules.left[pairs], rules.right[pairs]
        for k in range(1, width):
            ways = feasible[k, left] & feasible[width - k, right]
            useful[k, left[ways]] = True
            useful[width - k, right[ways]] = True
    both: np.ndarray = useful & feasible[: len(roots)]
    return both
