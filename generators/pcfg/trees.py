"""Sampled trees: the children of nodes, probabilities of trees, and conversion to nltk.Tree and to bracketed text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..sentences import Sentences
from ..tasks import latent
from .language import PCFG

if TYPE_CHECKING:
    import nltk


class Children(NamedTuple):
    """The children of each node, as column indices in the preorder list [n, nodes]; -1 if there is none.

    Args:
        left: the first child. A node without a first child emits the word at its start.
        right: the second child. A node with only a first child rewrites to a single symbol.
    """

    left: Tensor
    right: Tensor


def children(nodes: Tensor) -> Children:
    """Finds the children of each node.

    In preorder, if the next node has the same start, it is the first child. The right child is the first of all nodes
    that start where the left child ends, because no node before the parent starts there: such a node either contains
    the parent or ends before the parent starts.

    Args:
        nodes: [n, nodes, 3] as (start, width, symbol) in preorder, padded with -1.

    Returns:
        The column indices of the children.
    """
    start, width, _ = nodes.unbind(-1)
    n, most = start.shape
    column = torch.arange(most, device=nodes.device).expand(n, most)
    following = torch.cat([start[:, 1:], torch.full_like(start[:, :1], -1)], 1)
    left = torch.where((following == start) & (width > 0), column + 1, -1)
    split = width.gather(1, left.clamp(min=0))
    divides = (left >= 0) & (split < width)
    first = torch.full((n, most + 2), most, device=nodes.device)
    first.scatter_reduce_(1, torch.where(width > 0, start, most + 1), column, "amin")
    right = torch.where(divides, first.gather(1, torch.where(divides, start + split, 0)), -1)
    return Children(left, right)


def tree_log_prob(language: PCFG, sentences: Sentences) -> Tensor:
    """log p(tree, words) [n] of sampled trees, in nats: log p(T) - log P(S yields T words) + sum of log p(rule).

    Args:
        language: the language of the sentences.
        sentences: sampled sentences with their trees.

    Returns:
        [n] float64.

    Raises:
        InputError: for sentences without trees.
    """
    nodes = latent(sentences, "nodes")
    left, right = children(nodes)
    start, width, symbol = nodes.unbind(-1)
    real, leaf = width > 0, (width > 0) & (left < 0)
    n = len(language.symbols)
    # A rule is a triple of numbers (parent, first, second). Words have the numbers from n + 1 on; n means no second.
    word = sentences.tokens.gather(1, start.clamp(min=0)) + n + 1
    first = torch.where(leaf, word, symbol.gather(1, left.clamp(min=0)))
    second = torch.where(right >= 0, symbol.gather(1, right.clamp(min=0)), n)
    base = n + 1 + language.vocab_size
    rules = [(parent, child, n, p) for parent, child, p in language.rules.unary]
    rules += language.rules.binary
    rules += [(parent, token + n + 1, n, p) for parent, token, p in language.rules.lexical]
    keys = torch.tensor([(parent * base + one) * base + two for parent, one, two, _ in rules], device=nodes.device)
    known, row = keys.unique(return_inverse=True)
    p = torch.tensor([p for *_, p in rules], dtype=torch.float64, device=nodes.device)
    log_p = torch.zeros(len(known), dtype=torch.float64, device=nodes.device).index_add_(0, row, p).log()
    used = torch.searchsorted(known, ((symbol * base + first) * base + second)[real])
    total = torch.zeros(len(nodes), dtype=torch.float64, device=nodes.device)
    total.index_add_(0, real.nonzero()[:, 0], log_p[used])
    normaliser = torch.stack([language.log_normaliser(length) for length in range(language.max_length + 1)])
    return total - normaliser[sentences.lengths]


def nltk_trees(language: PCFG, sentences: Sentences) -> "Iterator[nltk.Tree]":
    """The sampled trees with their words. A symbol that binarisation added is replaced by its children.

    Args:
        language: the language of the sentences.
        sentences: sampled sentences with their trees.

    Yields:
        The tree of each sentence.

    Raises:
        InputError: for sentences without trees.
    """
    import nltk

    nodes = latent(sentences, "nodes")
    lefts, rights = children(nodes)
    own = language.rules.num_original
    for row, left, right, tokens in zip(
        nodes.tolist(), lefts.tolist(), rights.tolist(), sentences.tokens.tolist(), strict=True
    ):
        # From the last node to the first, so that the nodes below a node, which follow it, are built before it.
        built: list[list[nltk.Tree | str]] = [[] for _ in row]
        for i, (start, width, symbol) in reversed(list(enumerate(row))):
            if width > 0:
                below = built[left[i]] + (built[right[i]] if right[i] >= 0 else [])
                parts = below if left[i] >= 0 else [language.words[tokens[start]]]
                built[i] = [nltk.Tree(language.symbols[symbol], parts)] if symbol < own else parts
        yield built[0][0]


def bracketed(tree: "nltk.Tree") -> str:
    """The tree on one line as in treebanks, (S (NP she) (VP ran)), with brackets in names and words as -LRB-."""
    out: list[str] = []
    todo: list[nltk.Tree | str | None] = [tree]
    while todo:
        part = todo.pop()
        if part is None:
            out.append(")")
        elif isinstance(part, str):
            out.append(" " + _in_brackets(part))
        else:
            out.append(f" ({_in_brackets(part.label())}")
            todo += [None, *reversed(part)]
    return "".join(out).lstrip()


def _in_brackets(text: str) -> str:
    return "_".join(text.replace("(", "-LRB-").replace(")", "-RRB-").split()) or "''"
