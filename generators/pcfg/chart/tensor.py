"""The inside and outside algorithms over batches of sentences of equal length.

With beta_iw(A) = P(A =>* words i .. i+w-1), and U = (I - R)^-1 the closure of the unary rules R, which solves cycles
exactly:

    beta_iw(A) = sum_B U[A, B] sum_{B -> C D} p(B -> C D) sum_k beta_ik(C) beta_{i+k, w-k}(D)      (w > 1)
    beta_i1(A) = sum_B U[A, B] e_i(B)

and alpha_iw(A) = dZ / d beta_iw(A), from the top down (Baker 1979; Lari and Young 1990). Each span has its own scale in
each pass, so sentences of hundreds of words keep their accuracy. Within a span, a symbol that is 1e308 times less
likely than the best counts as impossible. Only the pairs C D that some rule uses are formed, once for all parents, and
only at the widths and splits that the grammar can fill.

The outside pass does not use automatic differentiation: a span that no symbol yields has no scale in the inside pass,
but its outside score is still needed, because other words may stand in its place.
"""

import copy
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ...kernels.binary_rules import Rules
from ...kernels.chart import LOG_2, hidden_chart
from ...kernels.chart_plan import Plan, make_plan
from ...kernels.rule_tables import RuleTables, feasible_widths, useful_widths
from ...kernels.simd import ALIVE
from .closure import closure
from .passes import ChartPasses


class Scores(NamedTuple):
    """The scores of the spans of one width: values * exp(log_scale).

    Args:
        values: [n, starts, symbols].
        log_scale: [n, starts]; -inf if every score of the span is zero.
    """

    values: Tensor
    log_scale: Tensor


class Charts(dict[int, Scores]):
    """width -> scores, for each width that the grammar can fill."""

    def log_prefix(self, width: int, symbols: slice = slice(None)) -> Tensor:
        """The log scores [n, symbols] of the first `width` words; -inf for a symbol that cannot yield them."""
        if width not in self:
            return torch.full_like(self[1].values[:, 0, symbols], -torch.inf)
        values, log_scale = self[width]
        return values[:, 0, symbols].log() + log_scale[:, 0, None]

    def add(self, width: int, starts: slice, symbols: Tensor, given: Tensor, log_scale: Tensor) -> None:
        """Adds given [n, starts, pairs] * exp(log_scale [n, starts]) to symbols [pairs] at these starts."""
        values, log_scales = self[width]
        mine, mine_scale = values[:, starts], log_scales[:, starts]
        gathered, log_scale = _rescaled(torch.zeros_like(mine).index_add_(2, symbols, given), log_scale)
        top = torch.maximum(mine_scale, log_scale)
        finite = torch.where(top > -torch.inf, top, 0.0)
        mine *= (mine_scale - finite).exp()[..., None]
        mine += gathered * (log_scale - finite).exp()[..., None]
        log_scales[:, starts] = top


START = slice(0, 1)
"""The start symbol is number 0."""


class InsideTables:
    """A grammar's rules for widths up to max_length: plans for the compiled passes, tensors for the tensor passes."""

    def __init__(self, rules: Rules, max_length: int) -> None:
        n = len(rules.symbols)
        self.num_symbols, self.max_length = n, max_length
        self.unary = _matrix(n, n, rules.unary)
        self.closure = closure(self.unary)
        self.leaf_symbols = sorted({symbol for symbol, _, _ in rules.lexical})
        row = {symbol: i for i, symbol in enumerate(self.leaf_symbols)}
        lexical = [(row[symbol], word, p) for symbol, word, p in rules.lexical]
        self.emission = _matrix(len(row), len(rules.words), lexical)
        self.leaf_to_symbol = self.closure.T[self.leaf_symbols]
        self.rules = RuleTables.from_rules(rules, self.leaf_symbols, self.closure.numpy())
        emits = (self.emission.sum(1) > 0).numpy()
        self.feasible = torch.from_numpy(feasible_widths(self.rules, emits, max_length))
        self.left, self.right = torch.from_numpy(self.rules.left), torch.from_numpy(self.rules.right)
        self._plans: dict[tuple[str, int], Plan] = {}

    # ---- for the compiled passes

    def sentence_plan(self, length: int) -> Plan:
        """The plan for sentences of this length. It has no root if no sentence has this length."""
        return self._plan("sentence", self._roots([length], [0]))

    def beginnings_plan(self) -> Plan:
        """The plan for sentences of all lengths at once."""
        return self._plan("beginnings", self._roots(list(range(1, self.max_length + 1)), [0]))

    def prefix_plan(self, width: int) -> Plan:
        """The plan for the first `width` words of a sentence and every symbol that may span them."""
        return self._plan("prefix", self._roots([width], list(range(self.num_symbols))))

    def _roots(self, widths: list[int], symbols: list[int]) -> np.ndarray:
        roots = np.zeros((max(widths) + 1, self.num_symbols), dtype=bool)
        for width in widths:
            roots[width, symbols] = True
        return roots

    def _plan(self, what: str, roots: np.ndarray) -> Plan:
        key = (what, len(roots))
        if key not in self._plans:
            feasible = self.feasible.cpu().numpy()
            self._plans[key] = make_plan(self.rules, useful_widths(self.rules, feasible, roots))
        return self._plans[key]

    def hidden_chart(self, plan: Plan) -> tuple[np.ndarray, np.ndarray]:
        """beta at each width of a plan if every word is hidden; see `kernels.chart`."""
        kept = np.zeros((plan.length + 1, self.num_symbols), dtype=bool)
        for width in range(1, plan.length + 1):
            kind = plan.kind[width]
            kept[width, plan.symbols[plan.symbols_from[kind] : plan.symbols_from[kind + 1]]] = True
        return hidden_chart(make_plan(self.rules, kept, alike=True), self.emission.sum(1).cpu().numpy())

    def yields(self) -> tuple[np.ndarray, np.ndarray]:
        """P(A yields w words) = beta[w, A] exp(log_scale[w]), as (beta, log_scale), for w = 0 .. max_length."""
        feasible = self.feasible.cpu().numpy()
        beta, exponents = hidden_chart(make_plan(self.rules, feasible, alike=True), self.emission.sum(1).cpu().numpy())
        table, log_scale = np.zeros(feasible.shape), np.zeros(len(feasible))
        table[feasible] = beta
        log_scale[1:] = np.where(exponents > ALIVE, exponents * LOG_2, -np.inf)
        return table, log_scale

    # ---- for the passes over tensors

    @cached_property
    def pair_to_symbol(self) -> Tensor:
        """The weight of each pair of children for each symbol, including chains of unary rules, [pairs, symbols]."""
        weights = torch.zeros(len(self.left), self.num_symbols, dtype=torch.float64)
        pair, parent = torch.from_numpy(self.rules.rule_pair), torch.from_numpy(self.rules.rule_parent)
        weights[pair, parent] = torch.from_numpy(self.rules.rule_p)
        return weights.to(self.closure.device) @ self.closure.T

    @cached_property
    def pairs(self) -> list[Tensor]:
        """For each width, the pairs that can fill it."""
        return [torch.tensor([], dtype=torch.long, device=self.left.device)] * 2 + [
            self._ways(width).any(0).nonzero()[:, 0] for width in range(2, self.max_length + 1)
        ]

    @cached_property
    def splits(self) -> list[list[int]]:
        """For each width, the possible widths of the left child."""
        widths = range(2, self.max_length + 1)
        return [[], []] + [(self._ways(width).any(1).nonzero()[:, 0] + 1).tolist() for width in widths]

    def _ways(self, width: int) -> Tensor:
        """Which pairs can fill a width at each split, [splits, pairs] bool."""
        return self.feasible[1:width][:, self.left] & self.feasible[1:width].flip(0)[:, self.right]

    def inside(self, leaf_scores: Tensor) -> Charts:
        """Charts of beta for leaf_scores [n, T, leaf symbols]."""
        length = leaf_scores.shape[1]
        leaves = leaf_scores @ self.leaf_to_symbol
        charts = Charts({1: _rescaled(leaves, leaves.new_zeros(leaves.shape[:2]))})
        for width in range(2, length + 1):
            starts = length - width + 1
            parts = []
            for k in self.splits[width]:
                (left, left_scale), (right, right_scale) = charts[k], charts[width - k]
                here, there = slice(0, starts), slice(k, k + starts)
                parts.append((left[:, here], right[:, there], left_scale[:, here] + right_scale[:, there]))
            if parts:
                charts[width] = self._combine(width, parts)
        return charts

    def _combine(self, width: int, parts: list[tuple[Tensor, Tensor, Tensor]]) -> Scores:
        """One width of the chart, from (left, right, log scale) for each split."""
        pairs = self.pairs[width]
        scales = torch.stack([scale for _, _, scale in parts], 2)
        top = scales.amax(2)
        top = torch.where(top > -torch.inf, top, 0.0)
        weights = (scales - top[..., None]).exp()
        left = torch.stack([part[0] for part in parts], 2)[..., self.left[pairs]]
        right = torch.stack([part[1] for part in parts], 2)[..., self.right[pairs]]
        together = (weights[..., None] * left * right).sum(2)
        return _rescaled(together @ self.pair_to_symbol[pairs], top)

    def outside(self, inside: Charts, length: int) -> Charts:
        """Charts of alpha_iw(A) = dZ / d beta_iw(A), with Z the score of the start symbol over all words."""
        charts = Charts()
        for width, (values, log_scale) in inside.items():
            charts[width] = Scores(torch.zeros_like(values), torch.full_like(log_scale, -torch.inf))
        charts[length].values[:, 0, 0] = 1.0
        charts[length].log_scale[:, 0] = 0.0
        for width in sorted(charts, reverse=True):
            pairs, starts = self.pairs[width], length - width + 1
            left, right = self.left[pairs], self.right[pairs]
            alpha, alpha_scale = charts[width]
            per_pair = alpha @ self.pair_to_symbol[pairs].T
            for k in self.splits[width]:
                here, there = slice(0, starts), slice(k, k + starts)
                values, log_scale = inside[width - k]
                charts.add(k, here, left, per_pair * values[:, there][..., right], alpha_scale + log_scale[:, there])
                values, log_scale = inside[k]
                charts.add(
                    width - k, there, right, per_pair * values[:, here][..., left], alpha_scale + log_scale[:, here]
                )
        return charts

    def floats_per_sentence(self, length: int) -> int:
        """The approximate number of values that the charts of one sentence hold."""
        total = length * self.num_symbols * length
        for width in range(2, length + 1):
            total += (length - width + 1) * len(self.splits[width]) * 4 * (len(self.pairs[width]) + self.num_symbols)
        return total

    def to(self, device: torch.device | str) -> "InsideTables":
        """The same tables on another device."""
        moved = copy.copy(self)
        for name, value in self.__dict__.items():
            if isinstance(value, Tensor):
                moved.__dict__[name] = value.to(device)
        moved.__dict__.pop("pairs", None)
        return moved


def _rescaled(values: Tensor, log_scale: Tensor) -> Scores:
    top = values.amax(-1)
    alive = top > 0
    divisor = torch.where(alive, top, 1.0)
    return Scores(values / divisor[..., None], torch.where(alive, log_scale + divisor.log(), -torch.inf))


def _matrix(rows: int, columns: int, entries: list[tuple[int, int, float]]) -> Tensor:
    """A matrix of the entries (row, column, p). Entries at the same place are added."""
    matrix = torch.zeros(rows, columns, dtype=torch.float64)
    for row, column, p in entries:
        matrix[row, column] += p
    return matrix


class TensorCharts(ChartPasses):
    """The readable reference implementation for any device; see `ChartPasses`. A pass takes sentences of one length."""

    together = 1

    def __init__(self, tables: InsideTables) -> None:
        self.tables = tables

    @override
    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.tables.inside(leaf_scores).log_prefix(leaf_scores.shape[1], START)[:, 0]

    @override
    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        length, charts = leaf_scores.shape[1], self.tables.inside(leaf_scores)
        alpha, log_scale = self.tables.outside(charts, length)[1]
        return charts.log_prefix(length, START)[:, 0], alpha @ self.tables.leaf_to_symbol.T, log_scale

    @override
    def prefix_scores(self, leaf_scores: Tensor) -> Tensor:
        return self.tables.inside(leaf_scores).log_prefix(leaf_scores.shape[1])

    @override
    def prefix_factors(self, leaf_scores: Tensor, lengths: Tensor, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n, asked = widths.shape
        log_z = leaf_scores.new_full((n,), -torch.inf)
        alpha, beta = leaf_scores.new_zeros(2, n, asked, self.tables.num_symbols)
        for length in lengths.unique().tolist():
            rows = (lengths == length).nonzero()[:, 0]
            inside = self.tables.inside(leaf_scores[rows, :length])
            log_z[rows] = inside.log_prefix(length, START)[:, 0]
            if length not in inside:
                continue
            outside = self.tables.outside(inside, length)
            for width, (values, log_scale) in inside.items():
                here, which = (widths[rows] == width).nonzero().unbind(1)
                given, given_scale = outside[width]
                scale = (given_scale[here, 0] + log_scale[here, 0] - log_z[rows[here]]).exp()
                alpha[rows[here], which] = given[here, 0] * scale[:, None]
                beta[rows[here], which] = values[here, 0]
        return log_z, alpha, beta

    @override
    def floats_per_sentence(self, length: int) -> int:
        return self.tables.floats_per_sentence(length)
