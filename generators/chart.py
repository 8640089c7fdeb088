"""The inside algorithm over batches of sentences of equal length.

With beta_iw(A) = P(A =>* words i .. i+w-1), U = (I - R)^-1 the closure of the unary rules R (which solves cycles exactly),

    beta_iw(A) = sum_B U[A, B] sum_{B -> C D} p(B -> C D) sum_k beta_ik(C) beta_{i+k, w-k}(D)      (w > 1)
    beta_i1(A) = sum_B U[A, B] e_i(B)

Charts are rescaled span by span, so sentences of any length keep their accuracy. Only the pairs C D that some rule uses are
formed, once for all parents, and only at the widths and splits at which the grammar can fill them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .grammar import Rules


@dataclass
class Charts:
    """values[w] [n, starts, symbols] and log_scales[w] [n, starts]: beta = values * exp(log_scale); None if infeasible.

    The scales are constants for the gradient; log_scale is -inf where no symbol yields the span.
    """

    values: list[Tensor | None]
    log_scales: list[Tensor | None]

    def log_inside(self, width: int, symbols: slice = slice(None)) -> Tensor:
        """log beta [n, symbols] of the first `width` words; -inf for a symbol that cannot yield them."""
        values, log_scale = self.values[width], self.log_scales[width]
        if values is None or log_scale is None:
            assert self.values[1] is not None
            return torch.full_like(self.values[1][:, 0, symbols], -torch.inf)
        # The choice comes before the logarithm: the slope of log at another symbol's zero would make the gradient nan.
        return values[:, 0, symbols].log() + log_scale[:, 0, None]


class InsideTables:
    """A grammar's rules as tensors, for widths up to max_length."""

    def __init__(self, rules: Rules, max_length: int) -> None:
        n = len(rules.symbols)
        self.num_symbols, self.max_length = n, max_length
        self.unary = _matrix(n, n, rules.unary)
        self.closure = torch.linalg.inv(torch.eye(n, dtype=torch.float64) - self.unary)
        # An inverse of a matrix with a zero pattern rounds: what no chain of rules reaches is exactly zero.
        reach = torch.eye(n, dtype=torch.bool) | (self.unary > 0)
        for _ in range(n.bit_length()):
            reach = (reach.double() @ reach.double()) > 0
        self.closure = torch.where(reach, self.closure, 0.0).clamp(min=0)
        self.leaf_symbols = sorted({symbol for symbol, _, _ in rules.lexical})
        row = {symbol: i for i, symbol in enumerate(self.leaf_symbols)}
        lexical = [(row[symbol], word, p) for symbol, word, p in rules.lexical]
        self.emission = _matrix(len(row), len(rules.words), lexical)
        self.leaf_to_symbol = self.closure.T[self.leaf_symbols]
        pairs = sorted({(left, right) for _, left, right, _ in rules.binary})
        number = {pair: i for i, pair in enumerate(pairs)}
        weights = _matrix(len(pairs), n, [(number[left, right], parent, p) for parent, left, right, p in rules.binary])
        self.pair_to_symbol = weights @ self.closure.T
        self.left = torch.tensor([left for left, _ in pairs], dtype=torch.long)
        self.right = torch.tensor([right for _, right in pairs], dtype=torch.long)
        self.feasible = torch.zeros(max_length + 1, n, dtype=torch.bool)
        self.pairs: list[Tensor] = []
        self.splits: list[list[int]] = []
        self._plan()

    def _plan(self) -> None:
        """Which symbols can yield w words at all, and which pairs and splits can make them: exact, in booleans."""
        makes = self.pair_to_symbol > 0
        self.feasible[1] = (self.emission.sum(1) > 0).double() @ self.leaf_to_symbol > 0
        self.pairs, self.splits = [torch.tensor([], dtype=torch.long)] * 2, [[], []]
        for width in range(2, self.max_length + 1):
            ways = self.feasible[1:width][:, self.left] & self.feasible[1:width].flip(0)[:, self.right]
            self.pairs.append(ways.any(0).nonzero()[:, 0])
            self.splits.append((ways.any(1).nonzero()[:, 0] + 1).tolist())
            self.feasible[width] = makes[self.pairs[width]].any(0)

    def inside(self, leaf_scores: Tensor) -> Charts:
        """Charts for leaf_scores [n, T, leaf symbols], differentiable."""
        return self._grow(leaf_scores, leaf_scores.shape[1], everywhere_alike=False)

    def lengths(self) -> Charts:
        """Charts where every word is hidden, for all widths: they are the same at every start, so one start is kept."""
        return self._grow(self.emission.sum(1)[None, None], self.max_length, everywhere_alike=True)

    def _grow(self, leaf_scores: Tensor, length: int, everywhere_alike: bool) -> Charts:
        first = _rescaled(leaf_scores @ self.leaf_to_symbol, leaf_scores.new_zeros(leaf_scores.shape[:2]))
        filled = {1: first}
        for width in range(2, length + 1):
            starts = 1 if everywhere_alike else length - width + 1
            parts = []
            for k in self.splits[width]:
                offset = 0 if everywhere_alike else k
                (left, left_scale), (right, right_scale) = filled[k], filled[width - k]
                here, there = slice(0, starts), slice(offset, offset + starts)
                parts.append((left[:, here], right[:, there], left_scale[:, here] + right_scale[:, there]))
            if parts:
                filled[width] = self._combine(width, parts)
        nothing = (None, None)
        rows = [nothing, *(filled.get(width, nothing) for width in range(1, length + 1))]
        return Charts([values for values, _ in rows], [log_scale for _, log_scale in rows])

    def _combine(self, width: int, parts: list[tuple[Tensor, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """One width of the chart from (left, right, log scale) of each split: values [n, starts, N], scales [n, starts]."""
        pairs = self.pairs[width]
        scales = torch.stack([scale for _, _, scale in parts], 2)
        top = scales.amax(2)
        top = torch.where(top > -torch.inf, top, 0.0)
        weights = (scales - top[..., None]).exp()
        left = torch.stack([part[0] for part in parts], 2)[..., self.left[pairs]]
        right = torch.stack([part[1] for part in parts], 2)[..., self.right[pairs]]
        together = (weights[..., None] * left * right).sum(2)
        return _rescaled(together @ self.pair_to_symbol[pairs], top)

    def floats_per_sentence(self, length: int) -> int:
        """About how many numbers the chart of one sentence keeps for its gradient."""
        total = length * self.num_symbols * length
        for width in range(2, length + 1):
            total += (length - width + 1) * len(self.splits[width]) * 4 * (len(self.pairs[width]) + self.num_symbols)
        return total

    def to(self, device: torch.device | str) -> "InsideTables":
        moved = object.__new__(InsideTables)
        for name, value in self.__dict__.items():
            if isinstance(value, Tensor):
                value = value.to(device)
            elif name == "pairs":
                value = [index.to(device) for index in value]
            moved.__dict__[name] = value
        return moved


def _rescaled(values: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    top = values.detach().amax(-1)
    alive = top > 0
    divisor = torch.where(alive, top, 1.0)
    return values / divisor[..., None], torch.where(alive, log_scale + divisor.log(), -torch.inf)


def _matrix(rows: int, columns: int, entries: list[tuple[int, int, float]]) -> Tensor:
    """Entries that name the same place add up."""
    matrix = torch.zeros(rows, columns, dtype=torch.float64)
    for row, column, p in entries:
        matrix[row, column] += p
    return matrix
