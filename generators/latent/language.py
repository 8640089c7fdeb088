"""Languages with a latent structure over an emission matrix: exact quantities from one upward and one downward pass.

For each sentence length such a language has a partition function Z that is multilinear in the evidence at each position
(Darwiche 2003; Eisner 2016). Let e_t(a) be the score of latent leaf state a at position t: its probability of emitting
the word there, or of emitting any word if position t is hidden. Then

    dZ / d e_t(a) = Z(a at t, all other evidence),

so one backward pass gives, at all positions and for all words,

    p(x_t = v | the other visible words) = sum_a (dZ / d e_t(a)) emission[a, v] / normaliser.
"""

from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ..language import MEMORY_BUDGET, Language
from .batching import beyond, mixes, side_by_side, slices

CACHED = 2**24
"""The number of float64 values that a pass on a CPU holds (128 MiB).

This is enough for many sentences of each length, and small enough that memory is reused instead of allocated again.
"""


class LatentLanguage(Language):
    """A language defined by `log_partition` and by the emission probabilities of each latent leaf state.

    Attributes:
        emission: [leaf states, V].
        log_mass: log Z with all words hidden [max_length + 1]; only for languages with sentences of several lengths.
        together: the number of sentences of different lengths that cost about as much as one; 1 if a pass takes only
            one length.
    """

    emission: Tensor
    log_mass: Tensor
    together = 1

    @abstractmethod
    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log Z, differentiable. If the language has a bound on the length, Z is the mass before that bound applies.

        Args:
            leaf_scores: e [n, T, leaf states]; 0 beyond a sentence's end.
            lengths: [n], if sentences of different lengths share the pass.

        Returns:
            [n]; -inf if no structure fits the evidence.
        """

    @abstractmethod
    def log_normaliser(self, length: int) -> Tensor:
        """log Z - log p(x) for a sentence of this length, a scalar."""

    @abstractmethod
    def posterior(self, tokens: Tensor, lengths: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """The exact posterior of the latent variables given the visible words."""

    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """log Z and its gradient, here by autograd. A language with its own downward pass overrides this.

        Args:
            leaf_scores: e [n, T, leaf states].
            lengths: as for `log_partition`.

        Returns:
            (log Z [n], m [n, T, leaf states]) with m_t proportional to dZ / d e_t at each position.
        """
        with torch.enable_grad():
            scores = leaf_scores.detach().requires_grad_()
            log_z = self.log_partition(scores, lengths)
            margins = torch.autograd.grad(log_z.sum(), scores)[0]
        return log_z.detach(), margins

    @override
    def log_prob(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths, hidden = self.checked(tokens, lengths, None)
        out = torch.full((len(tokens),), -torch.inf, dtype=torch.float64, device=self.device)
        if mixes(lengths, self.together):
            known = (lengths <= self.max_length).nonzero()[:, 0]
            for here, scores, of in self.side_by_side(tokens[known], lengths[known], hidden[known]):
                log_p = self.log_partition(scores, of) + self.length_log_prob[of] - self.log_mass[of]
                out[known[here]] = torch.where(self.length_log_prob[of] > -torch.inf, log_p, -torch.inf)
            return out
        for rows, length in self.chunks(lengths):
            if length < len(self.length_log_prob) and self.length_log_prob[length] > -torch.inf:
                scores = self.leaf_scores(tokens[rows, :length], hidden[rows, :length])
                with torch.no_grad():
                    out[rows] = self.log_partition(scores) - self.log_normaliser(length)
        return out

    @override
    def conditional_table(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        out = room_for((*tokens.shape, self.vocab_size), dtype, self.device)
        for rows, margins in self._margins(tokens, lengths, hidden, dtype):
            torch.matmul(margins, self.emission.to(dtype), out=out[rows])
        return out

    @override
    def conditional_rows(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        out = [torch.zeros(0, self.vocab_size, dtype=dtype, device=self.device)]
        for rows, margins in self._margins(tokens, lengths, hidden, dtype):
            out.append(margins[hidden[rows]] @ self.emission.to(dtype))
        return torch.cat(out)

    def _margins(
        self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype
    ) -> Iterator[tuple[slice, Tensor]]:
        """Yields (rows, m [rows, T, leaf states]) for slices of the sentences; m @ emission are the conditionals."""
        n, longest = tokens.shape
        mixed = mixes(lengths, self.together)
        if mixed:
            self.check_lengths(lengths)
        for rows in slices(n, self.cached_size(longest)):
            some, words, unseen = lengths[rows], tokens[rows], hidden[rows]
            numbers = torch.arange(rows.start, rows.stop, device=self.device)
            if not mixed and bool((some == longest).all()):
                self.check_length(longest, numbers)
                yield rows, self._normalised_margins(words, unseen, dtype, numbers)
                continue
            out = torch.zeros(len(some), longest, len(self.emission), dtype=dtype, device=self.device)
            if mixed:
                for here, scores, of in self.side_by_side(words, some, unseen):
                    out[here, : scores.shape[1]] = self._mixed_margins(scores, of, numbers[here]).to(dtype)
            else:
                for length in some.unique().tolist():
                    here = (some == length).nonzero()[:, 0]
                    self.check_length(length, numbers[here])
                    given = words[here, :length], unseen[here, :length], dtype, numbers[here]
                    out[here, :length] = self._normalised_margins(*given)
            yield rows, out

    def side_by_side(
        self, tokens: Tensor, lengths: Tensor, hidden: Tensor
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:  # fmt: skip
        """Yields (rows, leaf scores, lengths), shortest sentences first. Scores beyond a sentence's end are 0."""
        for rows, width in side_by_side(lengths, self.chunk_size):
            after = beyond(lengths[rows], width)
            scores = self.leaf_scores(tokens[rows, :width], hidden[rows, :width] | after)
            yield rows, scores.masked_fill(after[..., None], 0.0), lengths[rows]

    def cached_size(self, length: int) -> int:
        """The number of sentences per pass. On a CPU it stays below the memory budget, so that arrays are reused."""
        budget = CACHED if self.device.type == "cpu" else MEMORY_BUDGET
        return max(1, budget // self.floats_per_sentence(length))

    def _normalised_margins(self, tokens: Tensor, hidden: Tensor, dtype: torch.dtype, rows: Tensor) -> Tensor:
        """m [n, T, leaf states] of sentences of one length, scaled so that m @ emission are probabilities."""
        log_z, margins = self.leaf_margins(self.leaf_scores(tokens, hidden, dtype))
        total, lost = self._totals(margins)
        if dtype != torch.float64 and bool((lost | (log_z == -torch.inf)).any()):
            # A sentence that underflows in float32 may still be possible, so float64 decides.
            log_z, margins = self.leaf_margins(self.leaf_scores(tokens, hidden))
            total, lost = self._totals(margins)
        self.check_possible(log_z, rows)
        self.check_representable(lost, rows)
        return margins.div_(total[..., None]).to(dtype)

    def _mixed_margins(self, scores: Tensor, lengths: Tensor, rows: Tensor) -> Tensor:
        """`_normalised_margins` from the scores of sentences of different lengths; 0 beyond a sentence's end."""
        log_z, margins = self.leaf_margins(scores, lengths)
        self.check_possible(log_z, rows)
        after = beyond(lengths, margins.shape[1])[..., None]
        total, lost = self._totals(margins.masked_fill_(after, 1.0))
        self.check_representable(lost, rows)
        return margins.div_(total[..., None]).masked_fill_(after, 0.0)

    def _totals(self, margins: Tensor) -> tuple[Tensor, Tensor]:
        """(sums of m @ emission over the words [n, T], which sentences [n] have a sum that has lost precision)."""
        total = margins @ self.emission.sum(1).to(margins.dtype)
        least = 2.0**-960 if margins.dtype == torch.float64 else 2.0**-100
        return total, ~(total.isfinite() & (total >= least)).all(1)

    def leaf_scores(self, tokens: Tensor, hidden: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        """e [n, T, leaf states]: emission[:, word] at a visible position, its sum over all words at a hidden one."""
        emission = self.emission.to(dtype)
        seen = emission.T.contiguous()[tokens.masked_fill(hidden, 0)]
        return torch.where(hidden[..., None], emission.sum(1), seen) if bool(hidden.any()) else seen

    def evidence(self, tokens: Tensor, lengths: Tensor, hidden: Tensor) -> Iterator[tuple[Tensor, int, Tensor]]:
        """Yields chunks of sentences of equal length.

        Yields:
            (rows, length, leaf scores), each chunk within the memory budget.

        Raises:
            InputError: for a length that no sentence has.
        """
        for rows, length in self.chunks(lengths):
            self.check_length(length, rows)
            yield rows, length, self.leaf_scores(tokens[rows, :length], hidden[rows, :length])

    def check_possible(self, log_z: Tensor, rows: Tensor) -> None:
        """Checks that sentences are possible.

        Args:
            log_z: log Z [n].
            rows: the indices [n] of the sentences; the message names the first impossible one.

        Raises:
            InputError: if log Z is -inf for any sentence.
        """
        impossible = log_z == -torch.inf
        if bool(impossible.any()):
            row = int(rows[impossible.nonzero()[0, 0]])
            raise InputError(f"sentence {row} is impossible in this language; leave it out, or hide the wrong word")

    def check_representable(self, beyond: Tensor, rows: Tensor) -> None:
        """Checks that float64 can represent the quantities from which the conditionals are computed.

        Args:
            beyond: [n] bool, True for a sentence that exceeds the range of float64.
            rows: the indices [n] of the sentences; the message names the first such sentence.

        Raises:
            InputError: if any entry is True.
        """
        if bool(beyond.any()):
            row = int(rows[beyond.nonzero()[0, 0]])
            raise InputError(
                f"sentence {row} is beyond the range of float64: a word, or the evidence for a state, has a "
                "probability below 1e-289; hide a word"
            )


def room_for(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """An uninitialised tensor. On a CPU, numpy allocates it in huge pages, which are faster to fill."""
    if dtype not in (torch.float32, torch.float64):
        raise InputError(f"dtype is {dtype}, expected torch.float64 or torch.float32; choose one of them")
    if device.type != "cpu":
        return torch.empty(shape, dtype=dtype, device=device)
    return torch.from_numpy(np.empty(shape, np.float64 if dtype == torch.float64 else np.float32))
