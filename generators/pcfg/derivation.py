"""A sampler of derivation trees of bounded length, exact and without rejection.

It first draws the length n with probability p(n), then the tree from the top down. A symbol A over w words takes a rule
and a split of its words with probability proportional to p(A -> B C) beta_k(B) beta_{w-k}(C), where beta_w(A) =
P(A yields w words). So critical and supercritical grammars cost no more than others. All nodes at the same depth of all
trees are drawn together.
"""

import torch
from torch import Tensor

from ..kernels.binary_rules import Rules
from ..latent.categorical import Categorical
from .chart.tensor import InsideTables

UNARY, LEAF = 0, -1
"""The values of `split` for a node that does not split its words."""


class DerivationTable:
    """The options of each symbol at each width, as one table of weights: row = width * symbols + symbol."""

    def __init__(self, rules: Rules, tables: InsideTables) -> None:
        self.num_symbols = tables.num_symbols
        beta, log_scale = map(torch.from_numpy, tables.yields())
        unary = torch.tensor([(parent, child) for parent, child, _ in rules.unary], dtype=torch.long).reshape(-1, 2)
        unary_p = torch.tensor([p for *_, p in rules.unary], dtype=torch.float64)
        binary = torch.tensor([(a, b, c) for a, b, c, _ in rules.binary], dtype=torch.long).reshape(-1, 3)
        binary_p = torch.tensor([p for *_, p in rules.binary], dtype=torch.float64)
        leaves = torch.tensor(tables.leaf_symbols)
        mass = tables.emission.sum(1) * torch.exp(-log_scale[1])
        entries = [_entries(self.num_symbols + leaves, mass, leaves, leaves, LEAF)]
        for width in range(1, tables.max_length + 1):
            row = width * self.num_symbols
            parent, child = unary.unbind(1)
            entries.append(_entries(row + parent, unary_p * beta[width, child], child, child, UNARY))
            parent, left, right = binary.unbind(1)
            for k in tables.splits[width]:
                scale = torch.exp(log_scale[k] + log_scale[width - k] - log_scale[width])
                weight = binary_p * beta[k, left] * beta[width - k, right] * scale
                entries.append(_entries(row + parent, weight, left, right, k))
        rows, weights, self.left, self.right, self.split = (torch.cat(part) for part in zip(*entries, strict=True))
        order = rows.argsort(stable=True)
        self.left, self.right, self.split = self.left[order], self.right[order], self.split[order]
        sizes = torch.bincount(rows, minlength=(tables.max_length + 1) * self.num_symbols)
        offsets = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.choice = Categorical(weights[order], offsets)

    def draw(
        self, start: int, lengths: Tensor, generator: torch.Generator, keep_nodes: bool = True
    ) -> tuple[Tensor, Tensor]:
        """Draws a tree for each of n sentences.

        Args:
            start: the symbol at the root.
            lengths: the number of words of each sentence, [n].
            generator: on the device of the lengths.
            keep_nodes: whether to return the nodes; if False, there are none.

        Returns:
            The nodes [m, 4] as (sentence, start, width, symbol), depth by depth, and the leaves [words, 3] as
            (sentence, position, symbol that emits the word).
        """
        device = lengths.device
        sentence = torch.arange(len(lengths), device=device)
        node = torch.stack([sentence, torch.zeros_like(lengths), lengths, torch.full_like(lengths, start)], 1)
        nodes, leaves = [node[:0]], [node[:0, :3]]
        while len(node):
            if keep_nodes:
                nodes.append(node)
            sentence, begin, width, symbol = node.unbind(1)
            entry = self.choice.draw(width * self.num_symbols + symbol, generator)
            split, left, right = self.split[entry], self.left[entry], self.right[entry]
            leaf, divides = split == LEAF, split > UNARY
            leaves.append(node[leaf][:, [0, 1, 3]])
            first = torch.stack([sentence, begin, torch.where(divides, split, width), left], 1)[~leaf]
            second = torch.stack([sentence, begin + split, width - split, right], 1)[divides]
            node = torch.cat([first, second])
        return torch.cat(nodes), torch.cat(leaves)

    def to(self, device: torch.device | str) -> "DerivationTable":
        """The same table on another device."""
        moved = object.__new__(DerivationTable)
        moved.__dict__.update({k: v.to(device) if hasattr(v, "to") else v for k, v in self.__dict__.items()})
        return moved


def preorder(nodes: Tensor, num_sentences: int, max_length: int) -> Tensor:
    """The nodes of each sentence as one row, in preorder: a node precedes the nodes below it. They determine the tree.

    Args:
        nodes: [m, 4] as `DerivationTable.draw` returns them.
        num_sentences: n.
        max_length: the largest number of words in a sentence.

    Returns:
        [n, largest number of nodes, 3]: (start, width, symbol) in preorder, padded with -1.
    """
    sentence, begin, width, symbol = nodes.unbind(1)
    # Nodes with equal spans form a chain of unary rules. The stable sort keeps them in order of depth.
    order = ((sentence * max_length + begin) * (max_length + 1) + max_length - width).argsort(stable=True)
    counts = torch.bincount(sentence, minlength=num_sentences)
    row = sentence[order]
    column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    most = int(counts.max()) if num_sentences else 0
    table = torch.full((num_sentences, most, 3), -1, dtype=torch.long, device=nodes.device)
    table[row, column] = torch.stack([begin, width, symbol], 1)[order]
    return table


def _entries(rows: Tensor, weights: Tensor, left: Tensor, right: Tensor, split: int) -> tuple[Tensor, ...]:
    """The columns (row, weight, left, right, split) of the entries whose weight is positive."""
    possible = weights > 0
    rows, weights, left, right = (part[possible] for part in (rows, weights, left, right))
    return rows, weights, left, right, torch.full_like(rows, split)
