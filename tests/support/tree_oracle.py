"""All derivation trees of a small grammar, enumerated from its productions; nothing is shared with satlab's charts."""

import functools
import itertools
import math

from satlab.generators.pcfg.grammar import read_text
from support.random_languages import all_pcfgs


class Trees:
    """{tree: probability} of all trees of exactly so many words; a tree is (symbol, child, ...), a word a string.

    Grammars without cycles of unary rules alone.
    """

    def __init__(self, productions):
        rules = {}
        for production in productions:
            key = (production.lhs(), production.rhs())
            rules[key] = rules.get(key, 0.0) + production.prob()
        self.rules, self.known = rules, {}

    def of(self, symbol, width):
        if (symbol, width) not in self.known:
            self.known[symbol, width] = self._of(symbol, width)
        return self.known[symbol, width]

    def _of(self, symbol, width):
        if isinstance(symbol, str):
            return {symbol: 1.0} if width == 1 else {}
        out = {}
        for (lhs, rhs), p in self.rules.items():
            if lhs == symbol:
                for children, q in self.forests(rhs, width).items():
                    out[str(symbol), *children] = p * q
        return out

    def forests(self, rhs, width):
        if len(rhs) == 1:
            return {(tree,): p for tree, p in self.of(rhs[0], width).items()}
        out = {}
        for first in range(1, width - len(rhs) + 2):
            for tree, p in self.of(rhs[0], first).items():
                for trees, q in self.forests(rhs[1:], width - first).items():
                    out[tree, *trees] = p * q
        return out

    def up_to(self, start, max_length):
        """{tree: probability}, not renormalised."""
        return {tree: p for width in range(1, max_length + 1) for tree, p in self.of(start, width).items()}


def words_of(tree):
    """The words at the bottom, as a tuple."""
    return (tree,) if isinstance(tree, str) else tuple(word for child in tree[1:] for word in words_of(child))


def rules_in(tree):
    """How many rules made the tree."""
    return 0 if isinstance(tree, str) else 1 + sum(map(rules_in, tree[1:]))


def as_tuple(tree):
    """An nltk.Tree as this module's tuples."""
    return tree if isinstance(tree, str) else (tree.label(), *map(as_tuple, tree))


def entropy(probabilities):
    total = math.fsum(probabilities)
    return -math.fsum(p / total * math.log(p / total) for p in probabilities if p > 0)


def cyclic(text):
    """Whether unary rules lead from a symbol back to itself."""
    productions = read_text(text).productions
    links = {(r.lhs(), r.rhs()[0]) for r in productions if len(r.rhs()) == 1 and not isinstance(r.rhs()[0], str)}
    for _ in range(5):
        links |= {(a, d) for (a, b), (c, d) in itertools.product(links, links) if b == c}
    return any(a == b for a, b in links)


@functools.cache
def acyclic():
    """{name: (text, max_length)}, without unary cycles and short enough to list all trees."""
    return {name: (text, 3 if name == "random-5" else 4) for name, (text, _) in all_pcfgs().items() if not cyclic(text)}


def trees_of(text, max_length):
    grammar = read_text(text)
    return Trees(grammar.productions).up_to(grammar.start, max_length)
