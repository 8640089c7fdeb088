"""Downstream tasks of an HMM: hidden states, the block of a block-diagonal chain, and functions of the posterior."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ...errors import InputError
from ...estimate import Estimate
from ..sentences import Sentences
from ..tasks import Task, latent

EVERY_POSITION = 32
"""The longest sentences of which every position has a task where nothing else is said."""


def default_positions(length: int) -> tuple[int, ...]:
    """Every position, counted from 1, of a sentence of at most 32 words; of a longer one the first, middle and last."""
    return tuple(range(1, length + 1)) if length <= EVERY_POSITION else (1, length // 2, length)


class Chain(Protocol):
    """What these tasks ask of a hidden chain (`HMM` has it)."""

    @property
    def num_states(self) -> int:
        """K."""

    @property
    def blocks(self) -> Tensor:
        """The transition probabilities [blocks, states, states] of a block-diagonal chain."""

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""

    def checked(
        self, tokens: Tensor, lengths: Tensor | None, hidden: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """The arguments of `conditional`, checked and filled in."""

    def evidence(self, tokens: Tensor, lengths: Tensor, hidden: Tensor) -> Iterator[tuple[Tensor, int, Tensor]]:
        """(rows, length, leaf scores), chunk by chunk."""

    def leaf_margins(self, leaf_scores: Tensor) -> tuple[Tensor, Tensor]:
        """(log Z, dZ / d e at each position)."""

    def check_possible(self, log_z: Tensor, rows: Tensor) -> None:
        """Raises InputError where log Z is -inf."""

    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool = True) -> Sentences:
        """num_sentences independent sentences."""


def state_posterior(language: Chain, tokens: Tensor, k: int, words: int | None = None) -> Tensor:
    """p(z_k = . | x_1 .. x_words) [n, K] float64 for tokens [n, T]; words = None reads the whole sentence.

    As `HMM.posterior`, of one position alone, so that long sentences of many states fit. Raises as `conditional`.
    """
    unread = torch.arange(tokens.shape[1], device=tokens.device) >= (tokens.shape[1] if words is None else words)
    tokens, lengths, hidden = language.checked(tokens, None, unread.expand_as(tokens))
    out = torch.zeros(len(tokens), language.num_states, dtype=torch.float64, device=language.device)
    for rows, _, scores in language.evidence(tokens, lengths, hidden):
        log_z, margins = language.leaf_margins(scores)
        language.check_possible(log_z, rows)
        joint = scores[:, k - 1] * margins[:, k - 1]
        out[rows] = joint / joint.sum(1, keepdim=True)
    return out


class HiddenState(Task):
    """The k-th hidden state of an HMM, k counted from 1, as sampled (Liu et al. 2022, A.2: tasks 6 and 10)."""

    def __init__(self, language: Chain, k: int) -> None:
        self.language, self.k = language, k
        self.name = f"state-{k}"
        self.classes = tuple(str(z + 1) for z in range(language.num_states))

    def labels(self, sentences: Sentences) -> Tensor:
        return latent(sentences, "states")[:, self.k - 1]

    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        sentences = self.language.sample(num_sentences, generator, latents=False)
        return Estimate.from_samples(state_posterior(self.language, sentences.tokens, self.k).amax(1))


class Block(Task):
    """The block of a block-diagonal chain that the sentence runs in, as sampled; a chain never leaves its block."""

    def __init__(self, language: Chain, name: str) -> None:
        self.language, self.name = language, name
        self.classes = tuple(str(block + 1) for block in range(len(language.blocks)))

    def labels(self, sentences: Sentences) -> Tensor:
        return latent(sentences, "states")[:, 0] // self.language.blocks.shape[1]

    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        sentences = self.language.sample(num_sentences, generator, latents=False)
        return Estimate.from_samples(self.posterior(sentences).amax(1))

    def posterior(self, sentences: Sentences) -> Tensor:
        """p(the block is b | the words) [n, B] float64."""
        first = state_posterior(self.language, sentences.tokens, 1)
        return first.reshape(len(first), *self.language.blocks.shape[:2]).sum(2)


@dataclass(frozen=True)
class Readout:
    """A linear function of the posterior of z_0: weights [classes, K] float64, of the first `words` words alone."""

    weights: Tensor
    words: int

    def check(self, states: int) -> None:
        """Raises InputError where the weights do not fit an HMM of this many states, or nothing is read."""
        shape = list(self.weights.shape)
        if len(shape) != 2 or shape[0] < 2 or shape[1] != states or not bool(self.weights.isfinite().all()):
            raise InputError(
                f"the posterior weights are {shape}, expected finite numbers, [at least 2 classes, {states}]"
            )
        if self.words < 1:
            raise InputError(f"the posterior reads {self.words} words, expected at least 1; give a larger number")

    def to(self, device: torch.device | str) -> "Readout":
        return replace(self, weights=self.weights.to(device))


def state_before(language: Chain, tokens: Tensor, words: int) -> Tensor:
    """p(z_0 = i | x_1 .. x_words) = sum_j A_ij p(z_1 = j | x_1 .. x_words), [n, K] float64.

    z_0 is the state one step before the first word, as it is in a chain that has run for long: where A is a mixture of
    permutations the stationary distribution is uniform, and A_ij is the probability of having come to j from i.
    Sentences shorter than `words` are read whole.
    """
    after = state_posterior(language, tokens, 1, words)
    blocks = after.reshape(len(after), *language.blocks.shape[:2], 1)
    return (language.blocks @ blocks).reshape(after.shape)


class PosteriorArgmax(Task):
    """argmax_c sum_i W_ci p(z_0 = i | x_1 .. x_L), ties to the first class (Wei, Xie and Ma 2021, section 5).

    z_0 is the state at a masked word put before the sentence (`state_before`); a linear head on its posterior is always
    right. The label is a function of the words: Bayes accuracy is 1.
    """

    name = "posterior"

    def __init__(self, language: Chain, readout: Readout) -> None:
        self.language, self.readout = language, readout
        self.classes = tuple(str(c + 1) for c in range(len(readout.weights)))

    def labels(self, sentences: Sentences) -> Tensor:
        before = state_before(self.language, sentences.tokens, self.readout.words)
        return (before @ self.readout.weights.T).argmax(1)

    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        return Estimate(1.0, 0.0, num_sentences)
