"""Tasks of an HMM: its hidden states, the block of a block-diagonal chain, and functions of the posterior."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...estimate import Estimate
from ..sentences import Sentences
from ..tasks import Task, TaskKind, latent, task_kinds
from .language import HMM
from .readout import POSTERIOR, Readout

EVERY_POSITION = 32
"""The largest length of sentences for which every hidden state is a task by default."""


def default_positions(length: int) -> tuple[int, ...]:
    """All positions of a sentence of at most 32 words, counted from 1; the first, middle and last of a longer one."""
    return tuple(range(1, length + 1)) if length <= EVERY_POSITION else (1, length // 2, length)


def state_posterior(language: HMM, tokens: Tensor, k: int, words: int | None = None) -> Tensor:
    """p(z_k = i | x_1 .. x_words). `HMM.posterior` returns this for all positions, which takes more memory.

    Args:
        language: the HMM.
        tokens: whole sentences [n, T].
        k: the position of the state, counted from 1.
        words: the number of words read; all unless given.

    Returns:
        [n, K] float64.
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


def state_before(language: HMM, tokens: Tensor, words: int) -> Tensor:
    """p(z_0 = i | x_1 .. x_words) = sum_j A_ij p(z_1 = j | x_1 .. x_words).

    z_0 is the state one step before the first word of a chain in its stationary distribution. If the transition A is a
    mixture of permutations, this distribution is uniform, so A_ij is also the probability that state j came from i.

    Args:
        language: the HMM.
        tokens: whole sentences [n, T].
        words: the number of words read; a shorter sentence is read whole.

    Returns:
        [n, K] float64.
    """
    after = state_posterior(language, tokens, 1, words)
    blocks = after.reshape(len(after), *language.blocks.shape[:2], 1)
    return (language.blocks @ blocks).reshape(after.shape)


class HiddenState(Task):
    """The k-th hidden state of the sample, k counted from 1 (Liu et al. 2022, A.2: tasks 6 and 10)."""

    def __init__(self, name: str, language: HMM, k: int) -> None:
        self.name, self.language, self.k = name, language, k
        self.classes = tuple(str(z + 1) for z in range(language.num_states))

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        return latent(sentences, "states")[:, self.k - 1]

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        sentences = self.language.sample(num_sentences, generator, latents=False)
        return Estimate.from_samples(state_posterior(self.language, sentences.tokens, self.k).amax(1))


@task_kinds.register("state")
@dataclass(frozen=True)
class HiddenStates(TaskKind[HMM]):
    """The sampled hidden state at a position.

    Args:
        position: the position of the state, counted from 1; unless given, there is a task state-k for each k in the
            language's task_positions.
    """

    position: int | None = None

    needs = HMM

    @override
    def tasks(self, language: HMM) -> Iterator[Task]:
        if self.position is None:
            positions = language.task_positions
            for k in default_positions(language.max_length) if positions is None else positions:
                yield HiddenState(f"state-{k}", language, k)
            return
        if not 1 <= self.position <= language.max_length:
            raise InputError(f"position is {self.position}, expected 1 to {language.max_length}; choose another")
        yield HiddenState(self.name, language, self.position)


class Block(Task):
    """The sampled block of a block-diagonal chain. The chain never leaves its block."""

    def __init__(self, language: HMM, name: str) -> None:
        self.language, self.name = language, name
        self.classes = tuple(str(block + 1) for block in range(len(language.blocks)))

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        return latent(sentences, "states")[:, 0] // self.language.blocks.shape[1]

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        sentences = self.language.sample(num_sentences, generator, latents=False)
        return Estimate.from_samples(self.posterior(sentences).amax(1))

    def posterior(self, sentences: Sentences) -> Tensor:
        """p(the block is b | the words) [n, B] float64."""
        first = state_posterior(self.language, sentences.tokens, 1)
        return first.reshape(len(first), *self.language.blocks.shape[:2]).sum(2)


@task_kinds.register("block")
@dataclass(frozen=True)
class Blocks(TaskKind[HMM]):
    """The block of a block-diagonal chain. The language gives this task its name."""

    needs = HMM
    order = 1

    @override
    def tasks(self, language: HMM) -> Iterator[Task]:
        if language.block_task is not None:
            yield Block(language, language.block_task)


class PosteriorArgmax(Task):
    """argmax_c sum_i W_ci p(z_0 = i | x_1 .. x_L), with ties to the first class (Wei, Xie and Ma 2021, section 5).

    z_0 is the state at a masked word before the sentence (`state_before`). A linear head on its posterior is always
    right. The label is a function of the words, so the Bayes accuracy is 1.
    """

    name = POSTERIOR

    def __init__(self, language: HMM, readout: Readout) -> None:
        self.language, self.readout = language, readout
        self.classes = tuple(str(c + 1) for c in range(len(readout.weights)))

    @override
    def labels(self, sentences: Sentences) -> Tensor:
        return self.scores(sentences).argmax(1)

    def posterior(self, sentences: Sentences) -> Tensor:
        """p(z_0 = i | x_1 .. x_L) [n, K] float64."""
        return state_before(self.language, sentences.tokens, self.readout.words)

    def scores(self, sentences: Sentences) -> Tensor:
        """The score of each class [n, classes]. The largest score decides the label."""
        return self.posterior(sentences) @ self.readout.weights.T

    def margins(self, sentences: Sentences) -> Tensor:
        """The largest score minus the second largest [n]. For two classes: |mu . p(z_0 | x)| with mu = W_2 - W_1."""
        best = self.scores(sentences).topk(2, 1).values
        return best[:, 0] - best[:, 1]

    @override
    def bayes_accuracy(self, num_sentences: int, generator: torch.Generator) -> Estimate:
        return Estimate(1.0, 0.0, num_sentences)


@task_kinds.register(POSTERIOR)
@dataclass(frozen=True)
class PosteriorArgmaxes(TaskKind[HMM]):
    """The class that the language's readout of the posterior of the state before the first word chooses."""

    needs = HMM
    order = 2

    @override
    def tasks(self, language: HMM) -> Iterator[Task]:
        if language.readout is not None:
            yield PosteriorArgmax(language, language.readout)
