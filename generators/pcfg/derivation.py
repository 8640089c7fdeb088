"""Drawing derivation trees whose length is bounded, exactly and without rejection.

First the length n with probability p(n), then top-down: a symbol A over w words takes a rule, and a split of its
words, with probability proportional to  p(A -> B C) beta_k(B) beta_{w-k}(C),  where beta_w(A) = P(A yields w words). So
grammars near or beyond criticality cost no more than others. All nodes of one depth of all trees are drawn together.
"""

import torch
from torch import Tensor

from ..kernels.binary_rules import Rules
from ..latent.categorical import Categorical
from .chart.tensor import InsideTables

UNARY, LEAF = 0, -1
"""Values of `split` where a node does not split its words."""


class DerivationTable:
    """What each symbol does over each width, as one table of weights: row = width * symbols + symbol."""

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
        """Trees over lengths [n] words.

        Returns nodes [m, 4] (sentence, start, width, symbol), depth by depth (none unless keep_nodes), and leaves
        [words, 3] (sentence, position, symbol that emits the word).
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
        moved = object.__new__(DerivationTable)
        moved.__dict__.update({k: v.to(device) if hasattr(v, "to") else v for k, v in self.__dict__.items()})
        return moved


def preorder(nodes: Tensor, num_sentences: int, max_length: int) -> Tensor:
    """Nodes [m, 4] as one row a sentence [n, most nodes, 3]: (start, width, symbol) in preorder, padded with -1.

    Spans in preorder determine the tree: each node is followed by what lies below it.
    """
    sentence, begin, width, symbol = nodes.unbind(1)
    # Within equal spans, the stable sort keeps the order of depth: a chain of unary rules from its top.
    order = ((sentence * max_length + begin) * (max_length + 1) + max_length - width).argsort(stable=True)
    counts = torch.bincount(sentence, minlength=num_sentences)
    row = sentence[order]
    column = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    most = int(counts.max()) if num_sentences else 0
    table = torch.full((num_sentences, most, 3), -1, dtype=torch.long, device=nodes.device)
    table[row, column] = torch.stack([begin, width, symbol], 1)[order]
    return table


def _entries(rows: Tensor, weights: Tensor, left: Tensor, right: Tensor, split: int) -> tuple[Tensor, ...]:
    possible = weights > 0
    rows, weights, left, right = (part[possible] for part in (rows, weights, left, right))
    return rows, weights, left, right, torch.full_like(rows, split)
