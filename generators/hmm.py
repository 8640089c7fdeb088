"""Hidden Markov models.

    p(z, x) = initial[z_1] emission[z_1, x_1] prod_{t > 1} transition[z_{t-1}, z_t] emission[z_t, x_t]

Z is the forward algorithm (Rabiner 1989), rescaled at each step so that no length underflows; its gradient is the backward
algorithm. Within a step, a state 1e308 times less likely than the best counts as impossible. All sentences have the same
length.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .categorical import Categorical
from .language import Language
from .sentences import Sentences
from .stochastic import stochastic_rows
from .tasks import HiddenState, Task

if TYPE_CHECKING:
    from hmmlearn.hmm import CategoricalHMM

DEFAULT_LENGTH = 16
"""Words in a sentence where nothing else is said (Liu et al. 2022, appendix A.2)."""


class HMM(Language):
    """An HMM over sentences of `length` words.

    initial [K]; transition [K, K], or [B, K/B, K/B] for the blocks of a block-diagonal chain; emission [K, V]; zeros are
    allowed and stay exact zeros. words: V strings, "0", "1", ... unless given.

    Rows that miss one by less than 1e-3 are renormalised with a warning. Raises InputError for rows that do not sum to
    one, entries that are no probabilities, shapes that do not fit, and a length below 1.
    """

    def __init__(
        self, initial: Any, transition: Any, emission: Any, length: int, words: Sequence[str] | None = None
    ) -> None:
        initial, blocks, emission = (
            torch.as_tensor(table, dtype=torch.float64) for table in (initial, transition, emission)
        )
        if initial.dim() != 1 or emission.dim() != 2:
            shapes = f"{list(initial.shape)} and {list(emission.shape)}"
            raise InputError(f"initial and emission have shapes {shapes}, expected [K] and [K, V]; correct them")
        self.initial = stochastic_rows(initial[None], lambda _: "the initial probabilities")[0]
        blocks = blocks[None] if blocks.dim() == 2 else blocks
        if blocks.dim() != 3 or blocks.shape[1] != blocks.shape[2]:
            raise InputError(f"the transition matrix has shape {list(blocks.shape)}, expected [K, K] or [B, K/B, K/B]")
        rows = blocks.reshape(-1, blocks.shape[2])
        rows = stochastic_rows(rows, lambda k: f"the transition probabilities of state {k + 1}")
        self.blocks = rows.reshape(blocks.shape)
        self.emission = stochastic_rows(emission, lambda k: f"the emission probabilities of state {k + 1}")
        states = len(self.initial)
        if len(rows) != states or len(self.emission) != states:
            raise InputError(
                f"initial has {states} states, transition {len(rows)}, emission {len(self.emission)}: "
                "expected the same number; correct the shapes"
            )
        if length < 1:
            raise InputError(f"length {length}: expected at least 1 word; give a larger length")
        self.words = tuple(words) if words is not None else tuple(str(v) for v in range(self.emission.shape[1]))
        if len(self.words) != self.emission.shape[1] or len(set(self.words)) != len(self.words):
            raise InputError(
                f"{len(set(self.words))} different words for {self.emission.shape[1]} columns of emission: "
                "expected one word a column"
            )
        self.max_length = int(length)
        self.length_log_prob = torch.full((self.max_length + 1,), -torch.inf, dtype=torch.float64)
        self.length_log_prob[-1] = 0.0
        self._tables = (
            Categorical.from_matrix(self.initial[None]),
            Categorical.from_matrix(rows),
            Categorical.from_matrix(self.emission),
        )

    @property
    def num_states(self) -> int:
        return len(self.initial)

    @property
    def transition(self) -> Tensor:
        """The transition matrix [K, K], its blocks put on the diagonal."""
        return torch.block_diag(*self.blocks)

    @cached_property
    def tasks(self) -> Mapping[str, Task]:  # type: ignore[override]
        """state-k: the k-th hidden state, counted from 1 (task-6 and task-10 of Liu et al. 2022 are state-6 and state-10)."""
        return {f"state-{k}": HiddenState(self, k) for k in range(1, self.max_length + 1)}

    def log_partition(self, leaf_scores: Tensor) -> Tensor:
        """The forward algorithm over leaf_scores [n, T, K]; O(T K^2 / blocks) a sentence."""
        n, length, _ = leaf_scores.shape
        alpha = self.initial * leaf_scores[:, 0]
        log_scale = torch.zeros(n, dtype=alpha.dtype, device=alpha.device)
        for t in range(1, length):
            # The scale is a constant for the gradient: log Z does not depend on how it is split into scale and rest.
            total = alpha.detach().sum(1)
            total = torch.where(total > 0, total, 1.0)
            log_scale = log_scale + total.log()
            spread = (alpha / total[:, None]).reshape(n, len(self.blocks), 1, -1) @ self.blocks
            alpha = spread.reshape(n, -1) * leaf_scores[:, t]
        return log_scale + alpha.sum(1).log()

    def log_normaliser(self, length: int) -> Tensor:
        return torch.zeros((), dtype=torch.float64, device=self.device)

    def floats_per_sentence(self, length: int) -> int:
        return length * (4 * self.num_states + 2 * self.vocab_size)

    def posterior(self, tokens: Tensor, lengths: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """p(z_t = k | the visible words) [n, T, K] float64, by forward-backward (not Viterbi). Raises as `conditional`."""
        tokens, lengths, hidden = self.checked(tokens, lengths, hidden)
        out = torch.zeros(*tokens.shape, self.num_states, dtype=torch.float64, device=self.device)
        for rows, length, scores, gradient in self.leaf_gradients(tokens, lengths, hidden):
            out[rows, :length] = scores * gradient
        return out

    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool = True) -> Sentences:
        """num_sentences sentences; latents["states"] [n, T], the hidden states counted from 0."""
        initial, transition, emission = self._tables
        size = self.blocks.shape[1]
        state = initial.draw(torch.zeros(num_sentences, dtype=torch.long, device=self.device), generator)
        states = [state]
        for _ in range(self.max_length - 1):
            state = state // size * size + transition.draw_column(state, generator)
            states.append(state)
        path = torch.stack(states, 1)
        tokens = emission.draw_column(path.flatten(), generator).reshape(path.shape)
        lengths = torch.full((num_sentences,), self.max_length, device=self.device)
        return Sentences(tokens, lengths, {"states": path} if latents else {})

    @classmethod
    def from_hmmlearn(cls, model: "CategoricalHMM", length: int, words: Sequence[str] | None = None) -> "HMM":
        """The language of a fitted (or hand-made) hmmlearn CategoricalHMM, cut into sentences of `length` words.

        Raises InputError where the model has no probabilities yet.
        """
        try:
            return cls(model.startprob_, model.transmat_, model.emissionprob_, length, words)
        except AttributeError as error:
            raise InputError(
                f"the hmmlearn model has no probabilities ({error}): expected a fitted one; fit it"
            ) from None

    def to_hmmlearn(self) -> "CategoricalHMM":
        """The same chain as an hmmlearn CategoricalHMM (implementation="scaling", its faster one)."""
        from hmmlearn.hmm import CategoricalHMM

        model = CategoricalHMM(n_components=self.num_states, n_features=self.vocab_size, implementation="scaling")
        model.startprob_, model.transmat_ = self.initial.cpu().numpy(), self.transition.cpu().numpy()
        model.emissionprob_ = self.emission.cpu().numpy()
        return model

    suffix = ".npz"

    def save(self, path: str) -> str:
        """Writes path.npz: initial, transition (the blocks), emission, length, words. No pickled objects."""
        np.savez(
            path + self.suffix,
            initial=self.initial.cpu().numpy(),
            transition=self.blocks.cpu().numpy(),
            emission=self.emission.cpu().numpy(),
            length=np.array(self.max_length),
            words=np.array(self.words),
        )
        return path + self.suffix
