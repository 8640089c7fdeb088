"""A grammar read off trees: binarised, counted, and each rule given its relative frequency.

    p(A -> rhs) = count(A -> rhs) / count(A)        (nltk.induce_pcfg; the maximum-likelihood estimate)

Such a grammar is consistent, and its expected number of words is the mean number of words of the trees (Chi and Geman
1998; Chi 1999). Binarisation by nltk's chomsky_normal_form: NP -> DT JJ NN becomes NP -> DT NP|<JJ-NN>, NP|<JJ-NN> ->
JJ NN; the names keep `horizontal_markov` of the siblings to come, all unless given, and `vertical_markov` ancestors
(NP^<S>; Johnson 1998, Klein and Manning 2003).
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import nltk
from nltk.grammar import Nonterminal, Production

from ..errors import InputError
from .grammar import Grammar, check
from .treebank import UNLABELLED, without_empty, without_functions

UNKNOWN = "UNK"
"""The word that stands for all rare ones."""

TOP = "TOP"
"""The start symbol above trees whose roots differ."""


@dataclass(frozen=True)
class Reading:
    """How trees become rules.

    horizontal_markov: how many of the siblings to come a binarised symbol's name keeps, all unless given;
    vertical_markov: how many ancestors a symbol's name keeps. min_count: words rarer than this become UNK.
    strip_functions: labels are cut to the category, NP-SBJ-1 to NP. collapse_unary: chains of unary rules above the
    tags become one symbol, S+VP. keep_empty: traces and other elements tagged -NONE- stay, as if they were words.

    Raises InputError for a negative number of siblings or ancestors, and a count below 1.
    """

    horizontal_markov: int | None = None
    vertical_markov: int = 0
    min_count: int = 1
    strip_functions: bool = False
    collapse_unary: bool = False
    keep_empty: bool = False

    def __post_init__(self) -> None:
        least = {"horizontal_markov": 0, "vertical_markov": 0, "min_count": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise InputError(f"{name} is {value}, expected at least {bound}; give a larger number")


def induce(trees: Iterable[nltk.Tree], reading: Reading = Reading()) -> Grammar:
    """The grammar of the trees, which are left as they are.

    The start symbol is the root's label where all trees share it, else a fresh symbol, TOP, above them; a root without
    a label becomes that symbol. Trees without a word are left out, with a warning. Raises InputError where none is
    left, and for one too wide or deep to binarise.
    """
    given = [tree.copy(deep=True) if reading.keep_empty else without_empty(tree) for tree in trees]
    kept = [without_functions(tree) if reading.strip_functions else tree for tree in given if tree is not None]
    if not kept:
        raise InputError(f"{len(given)} trees, none with a word, expected at least one; give other trees")
    if len(kept) < len(given):
        warnings.warn(f"{len(given) - len(kept)} of {len(given)} trees have no word; left out", stacklevel=2)
    frequency = Counter(word for tree in kept for word in tree.leaves())
    start, rooted = _rooted(kept)
    productions: list[Production] = []
    for tree in rooted:
        for place in tree.treepositions("leaves"):
            if frequency[tree[place]] < reading.min_count:
                tree[place] = UNKNOWN
        productions += _productions(tree, reading)
    found = nltk.induce_pcfg(Nonterminal(start), productions)
    return check(found.start(), found.productions())


def _rooted(trees: list[nltk.Tree]) -> tuple[str, list[nltk.Tree]]:
    """The start symbol, and the trees with it as their root."""
    roots = {tree.label() for tree in trees}
    if len(roots) == 1 and UNLABELLED not in roots:
        return roots.pop(), trees
    taken = {part.label() for tree in trees for part in tree.subtrees()}
    top = next(name for name in _names() if name not in taken)
    return top, [nltk.Tree(top, list(tree) if tree.label() == UNLABELLED else [tree]) for tree in trees]


def _names() -> Iterator[str]:
    name = TOP
    while True:
        yield name
        name += "'"


def _productions(tree: nltk.Tree, reading: Reading) -> list[Production]:
    if reading.collapse_unary:
        tree.collapse_unary()
    for part in list(tree.subtrees(lambda part: len(part) > 2)):
        # Among several siblings a word needs a symbol of its own: nltk would take it for one of the same name.
        part[:] = [nltk.Tree(repr(child), [child]) if isinstance(child, str) else child for child in part]
    try:
        tree.chomsky_normal_form(horzMarkov=reading.horizontal_markov, vertMarkov=reading.vertical_markov)
    except ValueError as error:
        sentence = f"{' '.join(tree.leaves()[:8])} ..."
        raise InputError(f"the tree of '{sentence}' cannot be binarised ({error}); leave it out") from None
    return tree.productions()
