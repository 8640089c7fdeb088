"""Plain, slow oracles that share no code with satlab: all strings, all state paths, all derivation trees."""

import itertools
import math
from collections import defaultdict
from functools import cache
from types import MappingProxyType

import nltk
import numpy as np
from nltk.grammar import Nonterminal


class Enumeration:
    """A distribution over strings of at most max_length words as a list: {string (tuple of words): probability}."""

    def __init__(self, probabilities, max_length):
        self.total = math.fsum(probabilities.values())
        shares = {string: p / self.total for string, p in probabilities.items() if p > 0}
        self.probabilities = MappingProxyType(shares)
        self.words = sorted({word for string in probabilities for word in string})
        self.max_length = max_length

    def log_prob(self, string):
        p = self.probabilities.get(tuple(string), 0.0)
        return math.log(p) if p > 0 else -math.inf

    def length_log_prob(self):
        """[max_length + 1]"""
        mass = [0.0] * (self.max_length + 1)
        for string, p in self.probabilities.items():
            mass[len(string)] += p
        return [math.log(p) if p > 0 else -math.inf for p in mass]

    def with_lengths(self, weights):
        """The same strings of each length, p(x) = p(x | T) weights[T] / sum of weights."""
        own = self.length_log_prob()
        strings = self.probabilities.items()
        mass = {string: p * weights.get(len(string), 0) / math.exp(own[len(string)]) for string, p in strings}
        return Enumeration(mass, self.max_length)

    def conditional(self, string, hidden, position):
        """{word: p(word at position | the visible words elsewhere, the length)}, by summing over all strings."""
        weights = defaultdict(float)
        others = [t for t in range(len(string)) if t != position and not hidden[t]]
        for other, p in self.probabilities.items():
            if len(other) == len(string) and all(other[t] == string[t] for t in others):
                weights[other[position]] += p
        total = math.fsum(weights.values())
        return {word: weight / total for word, weight in weights.items()}

    def entropy(self, string, hidden, position):
        return -math.fsum(p * math.log(p) for p in self.conditional(string, hidden, position).values() if p > 0)

    def floor_one(self):
        """E over strings and a uniform position of H(x_t | x_-t)."""
        return math.fsum(
            p * self.entropy(string, [False] * len(string), t) / len(string)
            for string, p in self.probabilities.items()
            for t in range(len(string))
        )

    def floor_bernoulli(self, rate):
        """Expected total entropy of the hidden words over their expected number, every word hidden with this rate."""
        total, count = 0.0, 0.0
        for string, p in self.probabilities.items():
            for hidden in itertools.product([False, True], repeat=len(string)):
                weight = p * math.prod(rate if h else 1 - rate for h in hidden)
                count += weight * sum(hidden)
                total += weight * sum(self.entropy(string, hidden, t) for t in range(len(string)) if hidden[t])
        return total / count


class HmmOracle:
    """p(z, x) of an HMM by multiplying along every one of the K^T state paths."""

    def __init__(self, initial, transition, emission, length):
        self.initial, self.emission = np.asarray(initial, float), np.asarray(emission, float)
        self.transition = dense(transition)
        self.states, self.length = len(self.initial), length
        self.paths = np.array(list(itertools.product(range(self.states), repeat=length)))
        self.prior = self.initial[self.paths[:, 0]]
        for t in range(1, length):
            self.prior = self.prior * self.transition[self.paths[:, t - 1], self.paths[:, t]]

    def joint(self, string, hidden=None):
        """p(z, visible words) for every path [K^T]."""
        out = self.prior.copy()
        for t, word in enumerate(string):
            if hidden is None or not hidden[t]:
                out = out * self.emission[self.paths[:, t], word]
        return out

    def posterior(self, string, hidden=None):
        """p(z_t = k | visible words) [T, K]."""
        joint = self.joint(string, hidden)
        table = np.array([[joint[self.paths[:, t] == k].sum() for k in range(self.states)] for t in range(self.length)])
        return table / joint.sum()

    def enumeration(self):
        strings = itertools.product(range(self.emission.shape[1]), repeat=self.length)
        return Enumeration({string: float(self.joint(string).sum()) for string in strings}, self.length)


def dense(transition):
    """[K, K] from [K, K] or from the blocks [B, K/B, K/B] of a block-diagonal matrix."""
    transition = np.asarray(transition, float)
    if transition.ndim == 2:
        return transition
    blocks, size, _ = transition.shape
    full = np.zeros((blocks * size, blocks * size))
    for b in range(blocks):
        full[b * size : (b + 1) * size, b * size : (b + 1) * size] = transition[b]
    return full


class PcfgOracle:
    """Inside scores on the productions of an nltk.PCFG as they are; unary rules are iterated to convergence."""

    def __init__(self, grammar):
        self.start = grammar.start()
        self.rules = [(rule.lhs(), rule.rhs(), rule.prob()) for rule in grammar.productions() if rule.prob() > 0]
        self.words = sorted({s for _, rhs, _ in self.rules for s in rhs if not isinstance(s, Nonterminal)})
        self._inside, self._sequence = {}, {}

    def inside(self, string):
        """{symbol: P(symbol yields exactly this string)}."""
        if string not in self._inside:
            base = defaultdict(float)
            for lhs, rhs, p in self.rules:
                if len(rhs) > 1:
                    base[lhs] += p * self.sequence(rhs, string)
                elif not isinstance(rhs[0], Nonterminal) and string == rhs:
                    base[lhs] += p
            self._inside[string] = self._with_unary_rules(base)
        return self._inside[string]

    def _with_unary_rules(self, base):
        """The fixed point of  b(A) = base(A) + sum over A -> B of p b(B), iterated from zero until nothing changes."""
        unary = [(lhs, rhs[0], p) for lhs, rhs, p in self.rules if len(rhs) == 1 and isinstance(rhs[0], Nonterminal)]
        score = dict(base)
        for _ in range(100_000):
            fresh = defaultdict(float, base)
            for parent, child, p in unary:
                fresh[parent] += p * score.get(child, 0.0)
            if all(abs(fresh[s] - score.get(s, 0.0)) <= 1e-17 * fresh[s] for s in fresh):
                return fresh
            score = fresh
        raise AssertionError("unary rules did not converge")

    def sequence(self, rhs, string):
        """P(the symbols of rhs, side by side, yield this string)."""
        if len(rhs) > len(string):
            return 0.0
        if len(rhs) == 1:
            return self.inside(string)[rhs[0]] if isinstance(rhs[0], Nonterminal) else float(string == rhs)
        if (rhs, string) not in self._sequence:
            self._sequence[rhs, string] = math.fsum(
                self.sequence(rhs[:1], string[:k]) * self.sequence(rhs[1:], string[k:]) for k in range(1, len(string))
            )
        return self._sequence[rhs, string]

    def enumeration(self, max_length):
        strings = itertools.chain(*(itertools.product(self.words, repeat=n) for n in range(1, max_length + 1)))
        return Enumeration({string: self.inside(string)[self.start] for string in strings}, max_length)

    def trees(self, symbol, string, offset=0):
        """All derivation trees without end, as (probability, preorder nodes (start, width, name)). No unary cycles."""
        out = []
        for lhs, rhs, p in self.rules:
            if lhs == symbol:
                for q, nodes in self._forests(rhs, string, offset):
                    out.append((p * q, ((offset, len(string), str(symbol)), *nodes)))
        return out

    def _forests(self, rhs, string, offset):
        if not isinstance(rhs[0], Nonterminal):
            first = lambda words: [(1.0, ())] if words == rhs[:1] else []
        else:
            first = lambda words: self.trees(rhs[0], words, offset)
        if len(rhs) == 1:
            return first(string)
        out = []
        for k in range(1, len(string) - len(rhs) + 2):
            below = first(string[:k])
            after = self._forests(rhs[1:], string[k:], offset + k) if below else []
            out += [(p * q, (*nodes, *more)) for p, nodes in below for q, more in after]
        return out


@cache
def enumerated(text, max_length):
    """All sentences of a grammar, as nltk reads it, with their probabilities."""
    return PcfgOracle(nltk.PCFG.fromstring(text)).enumeration(max_length)


def log_inside_cnf(rules, start, words):
    """log P(start yields words) for a grammar of binary and lexical rules (lhs, rhs, p), every number kept as a log."""
    n = len(words)
    symbols = sorted({str(lhs) for lhs, _, _ in rules})
    table = {symbol: np.full((n, n + 1), -np.inf) for symbol in symbols}
    for i, word in enumerate(words):
        for lhs, rhs, p in rules:
            if rhs == (word,):
                table[str(lhs)][i, 1] = np.logaddexp(table[str(lhs)][i, 1], math.log(p))
    for width in range(2, n + 1):
        for i in range(n - width + 1):
            for lhs, rhs, p in rules:
                if len(rhs) == 2:
                    k = np.arange(1, width)
                    splits = table[str(rhs[0])][i, k] + table[str(rhs[1])][i + k, width - k]
                    top = splits.max()
                    if top > -np.inf:
                        score = math.log(p) + top + math.log(np.exp(splits - top).sum())
                        table[str(lhs)][i, width] = np.logaddexp(table[str(lhs)][i, width], score)
    return table[str(start)][0, n]


class InsideOutside:
    """Inside and outside scores as Lari and Young (1990) write them: e(s, t, i) and f(s, t, i), for a CNF grammar."""

    def __init__(self, grammar, words):
        self.binary = [(r.lhs(), *r.rhs(), r.prob()) for r in grammar.productions() if len(r.rhs()) == 2]
        self.lexical = [(r.lhs(), r.rhs()[0], r.prob()) for r in grammar.productions() if len(r.rhs()) == 1]
        self.words, self.start, self.length = words, grammar.start(), len(words)
        self.e, self.f = defaultdict(float), defaultdict(float)
        self._inside_pass()
        self._outside_pass()

    def _inside_pass(self):
        for s, word in enumerate(self.words):
            for i, seen, p in self.lexical:
                self.e[s, s, i] += p * (seen == word)
        for width in range(2, self.length + 1):
            for s in range(self.length - width + 1):
                t = s + width - 1
                for i, j, k, p in self.binary:
                    for r in range(s, t):
                        self.e[s, t, i] += p * self.e[s, r, j] * self.e[r + 1, t, k]

    def _outside_pass(self):
        last = self.length - 1
        self.f[0, last, self.start] = 1.0
        for width in range(self.length - 1, 0, -1):
            for s in range(self.length - width + 1):
                t = s + width - 1
                for j, i, k, p in self.binary:
                    for r in range(t + 1, self.length):
                        self.f[s, t, i] += self.f[s, r, j] * p * self.e[t + 1, r, k]
                for j, k, i, p in self.binary:
                    for r in range(s):
                        self.f[s, t, i] += self.f[r, t, j] * p * self.e[r, s - 1, k]

    def conditional(self, t):
        """{word: p(word at t | the other words)}: the outside score at t does not see the word there."""
        weights = defaultdict(float)
        for i, word, p in self.lexical:
            weights[word] += self.f[t, t, i] * p
        total = math.fsum(weights.values())
        return {word: weight / total for word, weight in weights.items()}
