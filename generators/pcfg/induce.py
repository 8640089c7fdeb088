"""Estimates a grammar from trees: binarises the trees, counts their rules, and takes relative frequencies.

    p(A -> rhs) = count(A -> rhs) / count(A)        (nltk.induce_pcfg; the maximum-likelihood estimate)

Such a grammar is consistent, and its expected number of words is the mean number of words in the trees (Chi and Geman
1998; Chi 1999). nltk's chomsky_normal_form binarises: NP -> DT JJ NN becomes NP -> DT NP|<JJ-NN>, NP|<JJ-NN> -> JJ NN.
A new name contains the remaining siblings, at most `horizontal_markov` of them if that is given. Names also contain
`vertical_markov` ancestors (NP^<S>; Johnson 1998, Klein and Manning 2003).
"""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import InputError
from .grammar import Grammar, check
from .treebank import MOST_DEPTH, UNLABELLED, without_empty, without_functions

if TYPE_CHECKING:
    import nltk
    from nltk.grammar import Production

JOINTS = "-|<>^+"
"""The characters with which nltk joins labels. Both A-B, C and A, B-C would become the same symbol, S|<A-B-C>."""

INSIDE = {ord(mark): 0xF0000 + number for number, mark in enumerate(JOINTS)}
"""Placeholders for these characters within the labels of the trees, until all symbols are known."""

UNKNOWN = "UNK"
"""The word that replaces every rare word."""

TOP = "TOP"
"""The start symbol that is added above trees with different roots."""


@dataclass(frozen=True)
class Reading:
    """Settings for turning trees into rules.

    Args:
        horizontal_markov: number of remaining siblings in the name of a binarised symbol; all unless given.
        vertical_markov: number of ancestors in the name of a symbol.
        min_count: words rarer than this become UNK.
        strip_functions: cut labels to the category, NP-SBJ-1 to NP.
        collapse_unary: join chains of unary rules above the tags into one symbol, S+VP.
        keep_empty: keep traces and other elements tagged -NONE-, as if they were words.

    Raises:
        InputError: for a negative number of siblings or ancestors, or a count below 1.
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


def induce(
    trees: "Iterable[nltk.Tree]", reading: Reading = Reading(), source: str = "", places: Sequence[str] = ()
) -> Grammar:
    """Estimates a grammar from trees. The trees are not changed.

    If all trees have the same root label, it is the start symbol. Otherwise a new symbol, TOP, is added above the
    roots; a root without a label becomes TOP itself. Trees without words are left out, with a warning.

    Args:
        trees: trees with words as leaves.
        reading: the settings.
        source: where the trees are, for messages.
        places: where each tree is, for messages.

    Returns:
        The checked grammar.

    Raises:
        InputError: if no tree has a word, or if a tree is too wide or too deep to binarise.
    """
    import nltk
    from nltk.grammar import Nonterminal

    given, begin = list(trees), f"{source}: " if source else ""
    places = places or [f"tree {number}" for number in range(1, len(given) + 1)]
    cleaned = [(place, _cleaned(tree, reading, place)) for place, tree in zip(places, given, strict=True)]
    kept = [(place, tree) for place, tree in cleaned if tree is not None]
    if not kept:
        raise InputError(f"{begin}none of the {len(given)} trees has a word, expected at least one; give other trees")
    if len(kept) < len(given):
        lost = len(given) - len(kept)
        warnings.warn(f"{begin}{lost} of {len(given)} trees have no word; left out", stacklevel=2)
    frequency = Counter(word for _, tree in kept for word in tree.leaves())
    start, rooted = _rooted([tree for _, tree in kept])
    productions: list[Production] = []
    for (place, _), tree in zip(kept, rooted, strict=True):
        for leaf in tree.treepositions("leaves"):
            if frequency[tree[leaf]] < reading.min_count:
                tree[leaf] = UNKNOWN
        productions += _productions(tree, reading, place)
    try:
        found = nltk.induce_pcfg(Nonterminal(start), _named(productions))
        return check(found.start(), found.productions())
    except InputError as error:
        raise InputError(f"{begin}{error}") from None


def _cleaned(tree: "nltk.Tree", reading: Reading, place: str) -> "nltk.Tree | None":
    """A copy of the tree without the parts that the settings exclude; None if no word is left."""
    try:
        kept = tree.copy(deep=True) if reading.keep_empty else without_empty(tree)
        return without_functions(kept) if reading.strip_functions and kept is not None else kept
    except RecursionError:
        raise InputError(
            f"{place}: nested too deeply, expected at most {MOST_DEPTH} levels; leave the tree out"
        ) from None


def _rooted(trees: "list[nltk.Tree]") -> "tuple[str, list[nltk.Tree]]":
    """The start symbol, and the trees with this symbol as their root."""
    import nltk

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


def _productions(tree: "nltk.Tree", reading: Reading, place: str) -> "list[Production]":
    """The rules of a tree, which is binarised in place. Raises InputError if that makes the tree too deep."""
    widest = max(len(part) for part in tree.subtrees())
    for part in tree.subtrees():
        part.set_label(part.label().translate(INSIDE))
    if reading.collapse_unary:
        tree.collapse_unary()
    for part in list(tree.subtrees(lambda part: len(part) > 2)):
        # A word among several siblings gets its own symbol, because nltk would confuse it with a symbol of that name.
        part[:] = [_tagged(child) if isinstance(child, str) else child for child in part]
    try:
        tree.chomsky_normal_form(horzMarkov=reading.horizontal_markov, vertMarkov=reading.vertical_markov)
        return list(tree.productions())
    except (ValueError, RecursionError):
        raise InputError(
            f"{place}: cannot be binarised, as {widest} children of one symbol would become {widest} levels, "
            "which is too deep; leave the tree out"
        ) from None


def _tagged(word: str) -> "nltk.Tree":
    import nltk

    return nltk.Tree(repr(word).translate(INSIDE), [word])


def _named(productions: "list[Production]") -> "list[Production]":
    """The rules with the symbols' final names: nltk's, with a prime added if two symbols would have the same name."""
    from nltk.grammar import Nonterminal, Production

    symbols = dict.fromkeys(
        part.symbol() for rule in productions for part in (rule.lhs(), *rule.rhs()) if isinstance(part, Nonterminal)
    )
    # The trees' own labels keep their names, so they come first.
    made = dict.fromkeys(symbol for symbol in symbols if any(mark in symbol for mark in JOINTS))
    back = {code: chr(mark) for mark, code in INSIDE.items()}
    names: dict[str, Nonterminal] = {}
    taken: set[str] = set()
    for symbol in (*(symbol for symbol in symbols if symbol not in made), *made):
        name = symbol.translate(back)
        while name in taken:
            name += "'"
        taken.add(name)
        names[symbol] = Nonterminal(name)
    return [
        Production(
            names[rule.lhs().symbol()],
            tuple(names[part.symbol()] if isinstance(part, Nonterminal) else part for part in rule.rhs()),
        )
        for rule in productions
    ]
