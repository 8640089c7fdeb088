"""A grammar without a bound on the length, as a branching process: whether derivations end, and statistics of trees.

The mean matrix is M[A, B] = sum_{A -> rhs} p(A -> rhs) (number of B in rhs), with spectral radius rho (Booth and
Thompson 1973). If rho <= 1, every derivation ends. Otherwise a derivation ends with probability x_S < 1, where x is
the least solution of

    x_A = sum_{A -> rhs} p(A -> rhs) prod_{B in rhs} x_B  >= 0.

Newton's method from zero increases to x and never exceeds it (Etessami and Yannakakis 2009). If rho < 1, the mean of
any sum over the rules of a tree follows from one linear system (Grenander 1976).
"""

import math
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array, eye_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigs, splu

from ..kernels.binary_rules import Rules
from .grammar import Grammar, binarise
from .rules import Nonterminal

Vector = NDArray[np.float64]

CRITICAL = 1e-12
"""A spectral radius this close to 1 equals 1 within rounding."""

DENSE = 300
"""Components with more symbols compute only the largest eigenvalue, by Arnoldi's method. Smaller ones compute all."""

MOST_STEPS = 200
"""The largest number of Newton steps. A step squares the error, or halves it if the system is singular at x."""


@dataclass(frozen=True)
class BranchingStatistics:
    """Statistics of a grammar without a bound on the length. A divergent quantity is inf.

    Args:
        radius: the spectral radius of the mean matrix.
        total_mass: P(a derivation from the start symbol ends).
        endless: the symbols from which a derivation may never end.
        expected_length: the mean number of words in a sentence.
        length_sd: its standard deviation.
        expected_rules: the mean number of rules in a tree.
        derivation_entropy: H(tree), nats.
    """

    radius: float
    total_mass: float
    endless: tuple[str, ...]
    expected_length: float
    length_sd: float
    expected_rules: float
    derivation_entropy: float

    @property
    def distance(self) -> float:
        """1 - radius: 0 for a critical grammar, negative for a supercritical one."""
        return 1 - self.radius


def branching_statistics(grammar: Grammar) -> BranchingStatistics:
    """Computes the statistics from closed forms, in float64. Equal rules count as one rule with the summed probability.

    With n_A the mean number of words in a rule of A, and h_A the entropy of the rules of A:

        E length = (I - M)^-1 n,  H(tree) = (I - M)^-1 h,  E rules = (I - M)^-1 1,  Var length = (I - M)^-1 v,

    where v_A is the variance, over the rules of A, of the expected length of their right-hand sides. The systems are
    ill-conditioned near criticality: relative errors are about 1e-16 / |1 - radius|.

    Args:
        grammar: the grammar, taken without a bound on the length.

    Returns:
        Its statistics.
    """
    rules = _Productions(grammar)
    mean = rules.mean_matrix()
    component = connected_components(mean, connection="strong")[1]
    radii = _radii(mean, component)
    radius = float(radii.max())
    endless = _reaching(mean, radii[component] > 1 + CRITICAL)
    mass = 1.0
    if endless[0]:
        x = QuadraticSystem.of_rules(binarise(grammar)).least_solution(ones=np.flatnonzero(~endless))
        mass = math.nan if x is None else min(float(x[0]), 1.0)
    names = tuple(str(symbol) for symbol, never in zip(grammar.nonterminals, endless, strict=True) if never)
    if radius >= 1 - CRITICAL:
        return BranchingStatistics(radius, mass, names, *[math.inf] * 4)
    solve = splu((eye_array(rules.num_symbols) - mean).tocsc()).solve
    length = solve(rules.average(rules.words))
    below = rules.words + rules.sum_of_children(length)
    variance = solve(rules.average((below - length[rules.parent]) ** 2))
    entropy = solve(rules.average(-np.log(rules.p)))
    count = solve(np.ones(len(length)))
    sd = math.sqrt(max(variance[0], 0.0))
    return BranchingStatistics(radius, mass, names, float(length[0]), sd, float(count[0]), float(entropy[0]))


class _Productions:
    """The distinct productions as arrays: probability, number of words and parent, and (production, child) pairs."""

    def __init__(self, grammar: Grammar) -> None:
        number = {symbol: i for i, symbol in enumerate(grammar.nonterminals)}
        together: dict[tuple[int, tuple[object, ...]], float] = defaultdict(float)
        for production in grammar.productions:
            together[number[production.lhs()], production.rhs()] += production.prob()
        self.num_symbols = len(number)
        self.p = np.array(list(together.values()))
        self.parent = np.array([parent for parent, _ in together])
        self.words = np.array([sum(not isinstance(s, Nonterminal) for s in right) for _, right in together], float)
        pairs = [(i, number[s]) for i, (_, right) in enumerate(together) for s in right if isinstance(s, Nonterminal)]
        self.production, self.child = np.array(pairs, int).reshape(-1, 2).T

    def mean_matrix(self) -> csr_array:
        """M [symbols, symbols]."""
        places = (self.parent[self.production], self.child)
        return coo_array((self.p[self.production], places), shape=(self.num_symbols, self.num_symbols)).tocsr()

    def average(self, values: Vector) -> Vector:
        """The mean of values [productions] over the rules of each symbol, [symbols]."""
        return np.bincount(self.parent, self.p * values, minlength=self.num_symbols).astype(float)

    def sum_of_children(self, values: Vector) -> Vector:
        """The sum of values [symbols] over the right-hand side of each production, [productions]."""
        return np.bincount(self.production, values[self.child], minlength=len(self.p)).astype(float)


def _radii(mean: csr_array, component: NDArray[np.int32]) -> Vector:
    """The spectral radius of each strongly connected component of the mean matrix."""
    radii = np.zeros(component.max() + 1)
    radii[component] = mean.diagonal()
    for number in np.flatnonzero(np.bincount(component) > 1):
        part = np.flatnonzero(component == number)
        block = mean[part][:, part]
        if len(part) <= DENSE:
            radii[number] = np.abs(np.linalg.eigvals(block.toarray())).max()
        else:
            radii[number] = np.abs(eigs(block, k=1, v0=np.ones(len(part)), return_eigenvectors=False)).max()
    return radii


def _reaching(mean: csr_array, targets: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Marks the symbols from which a target can be reached."""
    links, reached = mean > 0, targets
    while True:
        further = reached | (links @ reached > 0)
        if (further == reached).all():
            return reached
        reached = further


@dataclass(frozen=True)
class QuadraticSystem:
    """x_A = constant_A + sum_B unary[A, B] x_B + sum_{A -> B C} weight x_B x_C, with nonnegative coefficients."""

    constant: Vector
    unary: csr_array
    parent: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    weight: Vector

    @classmethod
    def of_rules(cls, rules: Rules) -> "QuadraticSystem":
        """The system whose least solution is the probability that a derivation from each symbol ends."""
        n = len(rules.symbols)
        constant = np.zeros(n)
        for parent, _, p in rules.lexical:
            constant[parent] += p
        one = np.array(rules.unary, float).reshape(-1, 3)
        unary = coo_array((one[:, 2], (one[:, 0].astype(int), one[:, 1].astype(int))), shape=(n, n)).tocsr()
        two = np.array(rules.binary, float).reshape(-1, 4)
        parent, left, right = two[:, :3].astype(np.int64).T
        return cls(constant, unary, parent, left, right, two[:, 3])

    def least_solution(self, ones: NDArray[np.int64] | None = None) -> Vector | None:
        """The least x >= 0, by Newton's method from zero.

        Args:
            ones: the entries at which x is known to be 1, if the system is known to have a solution.

        Returns:
            x, or None if float64 finds no solution.
        """
        n = len(self.constant)
        x = np.zeros(n)
        if ones is not None:
            x[ones] = 1.0
        free, smallest = np.flatnonzero(x == 0), math.inf
        for _ in range(MOST_STEPS):
            gap = self.constant + self.unary @ x - x
            gap += np.bincount(self.parent, self.weight * x[self.left] * x[self.right], minlength=n)
            slope = (eye_array(n) - self._jacobian(x)).tocsr()[free][:, free].tocsc()
            try:
                step, certificate = splu(slope).solve(np.stack([gap[free], np.ones(len(free))], 1)).T
            except RuntimeError:
                return None
            # (I - J) y = 1 has a positive y if and only if the spectral radius of J is below 1, which holds below x.
            if not np.isfinite(step).all() or (ones is None and not (certificate > 0).all()):
                return None
            x[free] += np.maximum(step, 0.0)
            size = float((np.abs(step) / np.where(x[free] > 0, x[free], 1.0)).max())
            if size < 1e-15 or (size < 1e-6 and size >= smallest):
                return x
            smallest = min(smallest, size)
        return x

    def _jacobian(self, x: Vector) -> csr_array:
        rows = np.concatenate([self.parent, self.parent])
        columns = np.concatenate([self.left, self.right])
        values = np.concatenate([self.weight * x[self.right], self.weight * x[self.left]])
        return self.unary + coo_array((values, (rows, columns)), shape=self.unary.shape).tocsr()
