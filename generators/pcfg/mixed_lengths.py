"""Sentences of different lengths side by side in one pass, where few of a batch have the same length.

A group of eight sentences costs what one does, so a batch of many lengths that goes length by length wastes most of it.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from ..kernels.chart import inside, inside_outside
from ..kernels.simd import LANES
from ..latent.language import LatentLanguage
from .chart.tensor import InsideTables

LEAST_GAIN = 2
"""How many times fewer groups it must be: a chart for all lengths has more symbols a span than one for one length."""


class MixedLengths(LatentLanguage):
    """A grammar: `log_prob` and the conditionals go by length or side by side, whichever takes fewer groups.

    tables; log_mass [max_length + 1]: log P(the start yields so many words).
    """

    tables: InsideTables
    log_mass: Tensor

    def log_prob(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths, hidden = self.checked(tokens, lengths, None)
        if not self._mixes(lengths):
            return super().log_prob(tokens, lengths)
        out = torch.full((len(tokens),), -torch.inf, dtype=torch.float64)
        known = (lengths <= self.max_length).nonzero()[:, 0]
        for here, scores, of in self.side_by_side(tokens[known], lengths[known], hidden[known]):
            log_z = torch.from_numpy(inside(self.tables.beginnings_plan(), scores.numpy(), of.numpy()))[:, 0]
            log_p = log_z + self.length_log_prob[of] - self.log_mass[of]
            out[known[here]] = torch.where(self.length_log_prob[of] > -torch.inf, log_p, -torch.inf)
        return out

    def _margins(
        self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype
    ) -> Iterator[tuple[slice, Tensor]]:
        if not self._mixes(lengths):
            yield from super()._margins(tokens, lengths, hidden, dtype)
            return
        self.check_lengths(lengths)
        n, longest = tokens.shape
        size = self.cached_size(longest)
        for begin in range(0, n, size):
            rows = slice(begin, min(begin + size, n))
            out = torch.zeros(rows.stop - begin, longest, len(self.emission), dtype=dtype)
            for here, scores, of in self.side_by_side(tokens[rows], lengths[rows], hidden[rows]):
                log_z, margins, _ = inside_outside(self.tables.beginnings_plan(), scores.numpy(), of.numpy())
                self.check_possible(torch.from_numpy(log_z), begin + here)
                out[here, : scores.shape[1]] = self._shares(torch.from_numpy(margins), of, begin + here).to(dtype)
            yield rows, out

    def _shares(self, margins: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """The margins in place, each position's so that m @ emission sums to one; 0 beyond a sentence's end."""
        after = beyond(lengths, margins.shape[1])[..., None]
        total, lost = self._totals(margins.masked_fill_(after, 1.0))
        self.check_representable(lost, rows)
        return margins.div_(total[..., None]).masked_fill_(after, 0.0)

    def _mixes(self, lengths: Tensor) -> bool:
        counts = lengths.unique(return_counts=True)[1]
        by_length, mixed = (int((-(-some // LANES)).sum()) for some in (counts, counts.sum()))
        return self.device.type == "cpu" and by_length >= LEAST_GAIN * max(1, mixed)

    def side_by_side(
        self, tokens: Tensor, lengths: Tensor, hidden: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
        """(rows, leaf scores, lengths), the shortest sentence first; the scores beyond a sentence's end are 0."""
        longest = max(lengths.tolist(), default=1)
        for rows in lengths.argsort(stable=True).split(self.chunk_size(longest)):
            width = max(lengths[rows].tolist(), default=1)
            after = beyond(lengths[rows], width)
            scores = self.leaf_scores(tokens[rows, :width], hidden[rows, :width] | after)
            yield rows, scores.masked_fill(after[..., None], 0.0), lengths[rows]

    def check_lengths(self, lengths: Tensor) -> None:
        """`check_length` of all of them."""
        for length in lengths.unique().tolist():
            self.check_length(length, (lengths == length).nonzero()[:, 0])


def beyond(lengths: Tensor, longest: int) -> Tensor:
    """[n, longest] bool: the positions after a sentence's end."""
    return torch.arange(longest, device=lengths.device) >= lengths[:, None]
