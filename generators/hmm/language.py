"""Hidden Markov models.

    p(z, x) = initial[z_1] emission[z_1, x_1] prod_{t > 1} transition[z_{t-1}, z_t] emission[z_t, x_t]

The forward algorithm gives Z (Rabiner 1989), rescaled at each step so that long sentences do not underflow. The
backward algorithm gives its gradient. Within a step, a state 1e308 times less likely than the best counts as
impossible. All sentences have the same length.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, whole_number
from ..latent.language import LatentLanguage
from ..latent.stochastic import stochastic_rows, warn_of_rounding
from ..sentences import Sentences
from ..tasks import checked_positions
from ..vocabulary import checked_words
from .backend import ChainBackend, chain_backend
from .forward_backward import forward
from .hmmlearn_models import categorical_tables
from .readout import POSTERIOR, Readout
from .shapes import checked_shapes

if TYPE_CHECKING:
    from hmmlearn.hmm import CategoricalHMM

MOST_WORDS = 10**7
"""The largest length of a sentence."""

DEFAULT_LENGTH = 16
"""The default number of words in a sentence (Liu et al. 2022, appendix A.2)."""


class HMM(LatentLanguage):
    """An HMM over sentences of `length` words.

    Zeros in the tables stay exact zeros. Rows whose sums differ from one by less than 1e-3 are renormalised with a
    warning.

    Args:
        initial: [K].
        transition: [K, K], or [B, K/B, K/B] for the blocks of a block-diagonal chain.
        emission: [K, V].
        length: the length of every sentence, in words.
        words: V strings; "0", "1", ... unless given.
        task_positions: the positions, counted from 1, of the hidden states that are tasks; unless given, all positions
            of a sentence of at most 32 words, and the first, middle and last position of a longer one.
        block_task: the name of a task that asks for the block; without a name there is no such task.
        readout: the readout of the task "posterior"; without a readout there is no such task.

    Raises:
        InputError: for rows that do not sum to one, entries that are not probabilities, shapes that do not fit, a
            length below 1 or above MOST_WORDS, and tasks that do not fit the chain.

    Example:
        A coin that shows the same side again with probability 0.9:

        >>> coin = HMM([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], [[1, 0], [0, 1]], length=3, words=["heads", "tails"])
        >>> coin.log_prob(torch.tensor([[0, 0, 0], [0, 1, 0]])).exp()
        tensor([0.4050, 0.0050], dtype=torch.float64)
        >>> coin.conditional(torch.tensor([[0, 1, 0]]))[0, 1]  # between heads and heads: 0.81 to 0.01
        tensor([0.9878, 0.0122], dtype=torch.float64)
        >>> hidden = torch.tensor([[False, False, True]])
        >>> coin.conditional(torch.tensor([[0, 1, 0]]), hidden=hidden)[0, 2]
        tensor([0.1000, 0.9000], dtype=torch.float64)
        >>> from satlab.randomness import random_stream
        >>> coin.sample(1000, random_stream(0, "measurement")).tokens.shape
        torch.Size([1000, 3])
        >>> floor = coin.loss_floor(100, random_stream(0, "floor"), masking="next")
        >>> round(floor.value, 6)  # (log 2 + 2 H(0.1)) / 4, the same for every sentence
        0.335828
    """

    def __init__(
        self,
        initial: Any,
        transition: Any,
        emission: Any,
        length: int,
        words: Sequence[str] | None = None,
        task_positions: Sequence[int] | None = None,
        block_task: str | None = None,
        readout: Readout | None = None,
    ) -> None:
        initial, blocks, emission = checked_shapes(initial, transition, emission)
        rounded: list[str] = []
        self.initial = stochastic_rows(initial[None], lambda _: "the initial probabilities", rounded)[0]
        rows = blocks.reshape(-1, blocks.shape[2])
        rows = stochastic_rows(rows, lambda k: f"the transition probabilities of state {k + 1}", rounded)
        self.blocks = rows.reshape(blocks.shape)
        self.emission = stochastic_rows(emission, lambda k: f"the emission probabilities of state {k + 1}", rounded)
        warn_of_rounding(rounded)
        length = whole_number("length", length)
        if not 1 <= length <= MOST_WORDS:
            raise InputError(f"length {length}: expected 1 to {MOST_WORDS} words; give another length")
        columns = self.emission.shape[1]
        self.words = checked_words(map(str, range(columns)) if words is None else words, columns)
        self.max_length = int(length)
        self.length_log_prob = torch.full((self.max_length + 1,), -torch.inf, dtype=torch.float64)
        self.length_log_prob[-1] = 0.0
        self.task_positions = checked_positions(task_positions, self.max_length)
        self.block_task, self.readout = block_task, readout
        self._check_tasks()

    @property
    def num_states(self) -> int:
        """K, the number of hidden states."""
        return len(self.initial)

    @property
    def transition(self) -> Tensor:
        """The transition matrix [K, K], with the blocks on its diagonal."""
        matrix: Tensor = torch.block_diag(*self.blocks)
        return matrix

    def _check_tasks(self) -> None:
        """Checks block_task and readout against the chain."""
        if self.readout is not None:
            self.readout.check(self.num_states)
        if self.block_task is None:
            return
        if not self.block_task.isidentifier() or self.block_task == POSTERIOR:
            raise InputError(f"block_task is {self.block_task!r}, expected a name such as 'block'; correct it")
        if len(self.blocks) == 1:
            raise InputError(
                f"the task '{self.block_task}' asks for the block, but the chain has only one; give more blocks, or "
                "leave the task out"
            )

    def log_partition(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> Tensor:
        """log Z by the forward algorithm, in O(T K^2 / B) per sentence."""
        initial, blocks = self.initial.to(leaf_scores.dtype), self.blocks.to(leaf_scores.dtype)
        return forward(initial, blocks, leaf_scores)[0]

    @cached_property
    def chain(self) -> ChainBackend:
        """The passes for the device of the tables."""
        return chain_backend(self.initial, self.blocks, self.emission)

    @override
    def leaf_margins(self, leaf_scores: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.chain.leaf_margins(leaf_scores)

    @override
    def conditional_table(self, tokens: Tensor, lengths: Tensor, hidden: Tensor, dtype: torch.dtype) -> Tensor:
        self.check_lengths(lengths)
        words = tokens[:, : self.max_length].masked_fill(hidden[:, : self.max_length], self.vocab_size)
        found = self.chain.conditionals(words, dtype)
        if found is None:
            return super().conditional_table(tokens, lengths, hidden, dtype)
        log_z, out = found
        rows = torch.arange(len(tokens))
        self.check_possible(log_z, rows)
        self.check_representable(log_z.isnan(), rows)
        beyond = tokens.shape[1] - words.shape[1]
        return torch.nn.functional.pad(out, (0, 0, 0, beyond)) if beyond else out

    @override
    def next_word(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        tokens, lengths = self.checked_beginnings(tokens, lengths)
        n, longest = tokens.shape
        out = torch.zeros(n, longest + 1, self.vocab_size + 1, dtype=torch.float64, device=self.device)
        steps = torch.arange(min(longest + 1, self.max_length), device=self.device)
        padded = torch.nn.functional.pad(tokens, (0, len(steps) - min(longest, len(steps))), value=self.pad_id)
        for rows in torch.arange(n, device=self.device).split(self.chunk_size(longest)):
            unread = steps >= lengths[rows, None]
            log_z, predictions = forward(self.initial, self.blocks, self.leaf_scores(padded[rows], unread))
            self.check_possible(log_z, rows)
            states = torch.stack(predictions, 2).permute(1, 2, 0, 3).flatten(2)
            out[rows, : len(steps), :-1] = states @ self.emission
        out[:, self.max_length :, -1] = 1.0
        beyond = torch.arange(longest + 1, device=self.device) > lengths[:, None]
        return out.masked_fill_(beyond[..., None], 0.0)

    @override
    def log_normaliser(self, length: int) -> Tensor:
        return torch.zeros((), dtype=torch.float64, device=self.device)

    @override
    def floats_per_sentence(self, length: int) -> int:
        return length * (4 * self.num_states + 2 * self.vocab_size)

    def posterior(self, tokens: Tensor, lengths: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        """p(z_t = k | the visible words) [n, T, K] float64, by forward-backward. Arguments as for `conditional`."""
        tokens, lengths, hidden = self.checked(tokens, lengths, hidden)
        out = torch.zeros(*tokens.shape, self.num_states, dtype=torch.float64, device=self.device)
        for rows, length, scores in self.evidence(tokens, lengths, hidden):
            log_z, margins = self.leaf_margins(scores)
            self.check_possible(log_z, rows)
            joint = scores * margins
            out[rows, :length] = joint / joint.sum(-1, keepdim=True)
        return out

    def draw(self, num_sentences: int, generator: torch.Generator, latents: bool) -> Sentences:
        """num_sentences sentences. latents["states"] [n, T] are the hidden states, counted from 0."""
        path, tokens = self.chain.draw(num_sentences, self.max_length, generator)
        lengths = torch.full((num_sentences,), self.max_length, device=self.device)
        return Sentences(tokens, lengths, {"states": path} if latents else {})

    @classmethod
    def from_hmmlearn(cls, model: "CategoricalHMM", length: int, words: Sequence[str] | None = None) -> "HMM":
        """The language of an hmmlearn model.

        Args:
            model: a CategoricalHMM, fitted or with tables set by hand.
            length: the length of the sentences, in words.
            words: V strings; "0", "1", ... unless given.

        Returns:
            The HMM.

        Raises:
            InputError: for a model that does not emit one word at each step, and for a model without probabilities.
        """
        return cls(*categorical_tables(model), length, words)

    def to_hmmlearn(self) -> "CategoricalHMM":
        """The same chain as an hmmlearn CategoricalHMM, with hmmlearn's faster implementation "scaling"."""
        from hmmlearn.hmm import CategoricalHMM

        model = CategoricalHMM(n_components=self.num_states, n_features=self.vocab_size, implementation="scaling")
        model.startprob_, model.transmat_ = self.initial.cpu().numpy(), self.transition.cpu().numpy()
        model.emissionprob_ = self.emission.cpu().numpy()
        return model

    suffix = ".npz"

    def write(self, path: str) -> str:
        """Writes path.npz, without pickled objects.

        The arrays are initial, transition (the blocks), emission, length and words; and, if they were given,
        task_positions, block_task, and the readout as posterior_weights [classes, K] and posterior_words.

        Args:
            path: the path of the file, without its suffix.

        Returns:
            The path with the suffix.
        """
        tasks: dict[str, Any] = {}
        if self.task_positions is not None:
            tasks["task_positions"] = np.array(self.task_positions, dtype=np.int64)
        if self.block_task is not None:
            tasks["block_task"] = np.array(self.block_task)
        if self.readout is not None:
            tasks["posterior_weights"] = self.readout.weights.cpu().numpy()
            tasks["posterior_words"] = np.array(self.readout.words)
        np.savez(
            path + self.suffix,
            initial=self.initial.cpu().numpy(),
            transition=self.blocks.cpu().numpy(),
            emission=self.emission.cpu().numpy(),
            length=np.array(self.max_length),
            words=np.array(self.words),
            **tasks,
        )
        return path + self.suffix
