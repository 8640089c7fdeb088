"""Sampled trees: their children, their probability, and as nltk.Tree in terms of the grammar as it was written."""

from collections.abc import Iterator
from typing import NamedTuple

import nltk
import torch
from torch import Tensor

from ..sentences import Sentences
from ..tasks import latent
from .language import PCFG


class Children(NamedTuple):
    """The columns [n, nodes] of each node's children in the preorder list; -1 where there is none.

    A node without a left child emits the word at its start; one without a right child rewrites to one symbol.
    """

    left: Tensor
    right: Tensor


def children(nodes: Tensor) -> Children:
    """The children of nodes [n, nodes, 3] (start, width, symbol) in preorder, padded with -1.

    What follows a node at the same start lies below it; its right child is the first node of all that starts where the
    left one ends, since whatever comes before the node either contains it or ends before it starts.
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
    """log p(tree, words) [n] in nats of sampled trees: log p(T) - log P(S yields T words) + sum of log p(rule).

    Raises InputError where the sentences have no trees.
    """
    nodes = latent(sentences, "nodes")
    left, right = children(nodes)
    start, width, symbol = nodes.unbind(-1)
    real, leaf = width > 0, (width > 0) & (left < 0)
    n = len(language.symbols)
    # A rule as three numbers, (parent, first, second): a word counts from n + 1 on, no second symbol is n.
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


def nltk_trees(language: PCFG, sentences: Sentences) -> Iterator[nltk.Tree]:
    """The sampled trees with their words; symbols that binarisation added give way to what lies below them.

    Raises InputError where the sentences have no trees.
    """
    nodes = latent(sentences, "nodes")
    lefts, rights = children(nodes)
    own = language.rules.num_original
    for row, left, right, tokens in zip(
        nodes.tolist(), lefts.tolist(), rights.tolist(), sentences.tokens.tolist(), strict=True
    ):
        # From the last node to the first: what lies below a node comes after it, so it is built before.
        built: list[list[nltk.Tree | str]] = [[] for _ in row]
        for i, (start, width, symbol) in reversed(list(enumerate(row))):
            if width > 0:
                below = built[left[i]] + (built[right[i]] if right[i] >= 0 else [])
                parts = below if left[i] >= 0 else [language.words[tokens[start]]]
                built[i] = [nltk.Tree(language.symbols[symbol], parts)] if symbol < own else parts
        yield built[0][0]


def bracketed(tree: nltk.Tree) -> str:
    """The tree as treebanks write it: (S (NP she) (VP ran)), on one line; brackets in names and words as -LRB-."""
    out: list[str] = []
    todo: list[nltk.Tree | str | None] = [tree]
    while todo:
        part = todo.pop()
        if part is None:
            out.append(")")
        elif isinstance(part, nltk.Tree):
            out.append(f" ({_in_brackets(part.label())}")
            todo += [None, *reversed(part)]
        else:
            out.append(" " + _in_brackets(part))
    return "".join(out).lstrip()


def _in_brackets(text: str) -> str:
    return "_".join(text.replace("(", "-LRB-").replace(")", "-RRB-").split()) or "''"
