"""Samples sentences with their trees: by compiled code on a CPU, by tables for all sentences at once on a GPU."""

import copy
from functools import cached_property

import torch
from torch import Tensor

from ..kernels.binary_rules import Rules
from ..kernels.derivation import draw_sentences, make_options
from ..latent.categorical import Categorical
from .chart.tensor import InsideTables
from .derivation import DerivationTable, preorder


class DerivationSampler:
    """Draws lengths from a given distribution, and trees of these lengths from the grammar's distribution.

    Args:
        rules: the grammar.
        tables: its inside tables.
        lengths: the probability of each length, [max_length + 1].
    """

    def __init__(self, rules: Rules, tables: InsideTables, lengths: Tensor) -> None:
        self.rules, self.tables, self.lengths = rules, tables, lengths
        worth, log_scale = tables.yields()
        leaves, emission = tables.leaf_symbols, tables.emission
        self.options = make_options(rules, worth, log_scale, leaves, emission.numpy(), lengths.numpy())

    def draw(
        self, num_sentences: int, generator: torch.Generator, with_trees: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(tokens [n, max_length], lengths [n], trees [n, nodes, 3] or None); see `PCFG.sample`."""
        if self.lengths.device.type == "cpu":
            return draw_sentences(self.options, num_sentences, self.tables.emission.shape[1], generator, with_trees)
        return self.draw_by_table(num_sentences, generator, with_trees)

    def draw_by_table(
        self, num_sentences: int, generator: torch.Generator, with_trees: bool
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """`draw` for any device: all nodes at the same depth of all trees are drawn together."""
        length_table, word_table, leaf_row, derivations = self._tables
        device, max_length = self.lengths.device, self.tables.max_length
        rows = torch.zeros(num_sentences, dtype=torch.long, device=device)
        lengths = length_table.draw_column(rows, generator)
        nodes, leaves = derivations.draw(0, lengths, generator, with_trees)
        sentence, position, symbol = leaves.unbind(1)
        tokens = torch.full((num_sentences, max_length), self.tables.emission.shape[1], device=device)
        tokens[sentence, position] = word_table.draw_column(leaf_row[symbol], generator)
        return tokens, lengths, preorder(nodes, num_sentences, max_length) if with_trees else None

    @cached_property
    def _tables(self) -> tuple[Categorical, Categorical, Tensor, DerivationTable]:
        """The tables of lengths and of words, the row of each symbol in the words' table, the table of derivations."""
        device, leaves = self.lengths.device, self.tables.leaf_symbols
        leaf_row = torch.full((self.tables.num_symbols,), -1, device=device)
        leaf_row[leaves] = torch.arange(len(leaves), device=device)
        derivations = DerivationTable(self.rules, self.tables.to("cpu")).to(device)
        lengths, words = Categorical.from_matrix(self.lengths[None]), Categorical.from_matrix(self.tables.emission)
        return lengths, words, leaf_row, derivations

    def to(self, device: torch.device | str) -> "DerivationSampler":
        """The same sampler on another device."""
        moved = copy.copy(self)
        moved.tables, moved.lengths = self.tables.to(device), self.lengths.to(device)
        moved.__dict__.pop("_tables", None)
        return moved
