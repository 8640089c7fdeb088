"""A compiled sampler of derivation trees of given length, top down and without rejection.

A symbol A over w words takes an option with probability proportional to its weight:

    A -> B C, split k:  p(A -> B C) beta_k(B) beta_{w-k}(C)
    A -> B:             p(A -> B) beta_w(B)
    a word (w = 1):     p(A -> any word)

with beta_w(A) = P(A yields w words). This is exact under a bound on the length, even for critical and supercritical
grammars. Random numbers are a function of (key, sentence, draw), so threads do not change the sample.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .binary_rules import Rules
from .counter_random import draw_key, find, uniform
from .jit import compiled, compiled_pass
from .search_table import SearchTable, find_from
from .threads import DRAWS, in_parallel


class Options(NamedTuple):
    """The options of each of N symbols.

    Args:
        worth: beta_w(A) up to a scale for each width w, [max_length + 1, N].
        scale: the factor that corrects for these scales if w words are split after k, [max_length + 1, max_length + 1].
        shortest: the smallest width that a symbol yields, [N].
        longest: the largest width that a symbol yields, [N].
        binary_from: the binary rules of A are binary_from[A] .. binary_from[A + 1] - 1, [N + 1].
        left: the left child of a binary rule.
        right: its right child.
        binary_p: its probability.
        unary_from: the unary rules of A are unary_from[A] .. unary_from[A + 1] - 1, [N + 1].
        child: the child of a unary rule.
        unary_p: its probability.
        emits: the probability that a symbol emits a word, in the scale of width 1, [N].
        leaf_row: the row of a symbol in `sums` and `begins`, [N]; -1 for a symbol that emits no words.
        sums: the sums of the words' `SearchTable`, [leaf symbols, V].
        begins: the begins of the same table.
        lengths: the cumulative distribution of the lengths, [max_length + 1].
    """

    worth: np.ndarray
    scale: np.ndarray
    shortest: np.ndarray
    longest: np.ndarray
    binary_from: np.ndarray
    left: np.ndarray
    right: np.ndarray
    binary_p: np.ndarray
    unary_from: np.ndarray
    child: np.ndarray
    unary_p: np.ndarray
    emits: np.ndarray
    leaf_row: np.ndarray
    sums: np.ndarray
    begins: np.ndarray
    lengths: np.ndarray


def make_options(
    rules: Rules, worth: np.ndarray, log_scale: np.ndarray, leaves: list[int], emission: np.ndarray, lengths: np.ndarray
) -> Options:
    """The options of a grammar's symbols.

    Args:
        rules: the grammar.
        worth: beta_w(A) up to a scale for each width, [max_length + 1, N].
        log_scale: the logs of these scales, [max_length + 1].
        leaves: the symbols that emit words.
        emission: p(symbol -> word), [leaf symbols, V].
        lengths: the probability of each length, [max_length + 1].

    Returns:
        The arrays that the compiled sampler reads.
    """
    n = len(rules.symbols)
    binary, unary = sorted(rules.binary), sorted(rules.unary)
    possible, words = worth > 0, SearchTable.of(torch.from_numpy(emission))
    widths = np.arange(len(worth))[:, None]
    emits, leaf_row = np.zeros(n), np.full(n, -1)
    emits[leaves], leaf_row[leaves] = emission.sum(1) * np.exp(-log_scale[1]), np.arange(len(leaves))
    return Options(
        worth=worth,
        scale=_split_scales(log_scale),
        shortest=np.where(possible, widths, len(worth)).min(0),
        longest=np.where(possible, widths, 0).max(0),
        binary_from=np.searchsorted([rule[0] for rule in binary], np.arange(n + 1)),
        left=np.array([rule[1] for rule in binary], dtype=np.int64),
        right=np.array([rule[2] for rule in binary], dtype=np.int64),
        binary_p=np.array([rule[3] for rule in binary], dtype=np.float64),
        unary_from=np.searchsorted([rule[0] for rule in unary], np.arange(n + 1)),
        child=np.array([rule[1] for rule in unary], dtype=np.int64),
        unary_p=np.array([rule[2] for rule in unary], dtype=np.float64),
        emits=emits,
        leaf_row=leaf_row,
        sums=words.sums,
        begins=words.begins,
        lengths=lengths.cumsum(),
    )


def _split_scales(log_scale: np.ndarray) -> np.ndarray:
    """exp(log_scale[k] + log_scale[w - k] - log_scale[w]) at [w, k]; meaningless if a width has no scale."""
    log_scale = np.where(log_scale > -np.inf, log_scale, 0.0)
    table = np.zeros((len(log_scale), len(log_scale)))
    for width in range(2, len(log_scale)):
        here = log_scale[1:width]
        table[width, 1:width] = np.exp(here + here[::-1] - log_scale[width])
    return table


def draw_sentences(
    options: Options, num_sentences: int, pad: int, generator: torch.Generator, with_nodes: bool
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Draws sentences and, if requested, their trees; see `PCFG.sample`.

    Args:
        options: the options of the grammar.
        num_sentences: n.
        pad: the token beyond the end of a sentence.
        generator: on the CPU.
        with_nodes: whether to return the trees.

    Returns:
        tokens [n, max_length], lengths [n], and nodes (start, width, symbol) [n, largest number of nodes, 3] or None.
    """
    key = draw_key(generator)
    tokens = np.full((num_sentences, len(options.lengths) - 1), pad)
    lengths, counts = np.empty(num_sentences, np.int64), np.empty(num_sentences, np.int64)
    no_nodes, least = np.empty((0, 0, 3), np.int64), DRAWS // (2 * tokens.shape[1])
    in_parallel(_draw, num_sentences, options, key, tokens, lengths, counts, no_nodes, least=least)
    if not with_nodes:
        return torch.from_numpy(tokens), torch.from_numpy(lengths), None
    nodes = np.full((num_sentences, int(counts.max(initial=0)), 3), -1)
    # The first pass counted the nodes. The same key draws the same trees again, and this time stores the nodes.
    in_parallel(_draw, num_sentences, options, key, tokens, lengths, counts, nodes, least=least)
    return torch.from_numpy(tokens), torch.from_numpy(lengths), torch.from_numpy(nodes)


@compiled
def _choose(options: Options, symbol: int, width: int, share: float) -> tuple[int, int, int]:
    """(left or only child, right child, split); split is 0 for a unary rule and -1 for a word."""
    worth, left = options.worth, share * options.worth[width, symbol]
    chosen = (-1, -1, -2)
    if width == 1 and options.emits[symbol] > 0.0:
        chosen = (symbol, symbol, -1)
        left -= options.emits[symbol]
        if left < 0.0:
            return chosen
    for rule in range(options.unary_from[symbol], options.unary_from[symbol + 1]):
        value = options.unary_p[rule] * worth[width, options.child[rule]]
        if value > 0.0:
            chosen = (options.child[rule], -1, 0)
            left -= value
            if left < 0.0:
                return chosen
    for rule in range(options.binary_from[symbol], options.binary_from[symbol + 1]):
        b, c, p = options.left[rule], options.right[rule], options.binary_p[rule]
        low = max(options.shortest[b], width - options.longest[c])
        for k in range(low, min(options.longest[b], width - options.shortest[c]) + 1):
            value = worth[k, b] * worth[width - k, c] * (p * options.scale[width, k])
            if value > 0.0:
                chosen = (b, c, k)
                left -= value
                if left < 0.0:
                    return chosen
    return chosen


@compiled_pass
def _draw(
    options: Options,
    key: np.ndarray,
    tokens: np.ndarray,
    lengths: np.ndarray,
    counts: np.ndarray,
    nodes: np.ndarray,
    begin: int,
    end: int,
) -> None:
    stack = np.empty((tokens.shape[1] + 1, 3), np.int64)
    for row in range(begin, end):
        lengths[row] = find(options.lengths, uniform(key, row, 0))
        stack[0] = (0, lengths[row], 0)
        waiting, draw, visited = 1, 1, 0
        while waiting:
            waiting -= 1
            start, width, symbol = stack[waiting]
            if len(nodes):
                nodes[row, visited] = (start, width, symbol)
            visited += 1
            first, second, split = _choose(options, symbol, width, uniform(key, row, draw))
            draw += 1
            if split == -1:
                leaf = options.leaf_row[symbol]
                tokens[row, start] = find_from(options.sums[leaf], options.begins[leaf], uniform(key, row, draw))
                draw += 1
            elif split == 0:
                stack[waiting] = (start, width, first)
                waiting += 1
            else:
                stack[waiting] = (start + split, width - split, second)
                stack[waiting + 1] = (start, split, first)
                waiting += 2
        counts[row] = visited
