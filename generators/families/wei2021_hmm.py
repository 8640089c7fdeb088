"""The HMMs of Wei, Xie and Ma, "Why do pretrained language models help in downstream tasks?" (2021), section 5.

The paper gives the numbers only in its released code. This module follows that code, but draws other random numbers.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..hmm.language import HMM
from ..hmm.readout import Readout
from ..hmm.tasks import state_before
from ..language import Language
from .base import Family, families
from .draws import permutation_mixture, softmax_rows

WINDOW = 512
"""The number of words that the paper's models read at a time."""

START_TEMPERATURE, TRANSITION_TEMPERATURE, EMISSION_TEMPERATURE = 10.0, 0.01, 0.01

LABELS, ENTRIES, PREFIX = 2, 6, 128
"""The downstream task has two classes and six Gaussian weights, and reads the first 128 words."""

LOOKED_AT, ATTEMPTS = 1000, 1000
"""The number of sentences whose labels decide whether weights are accepted, and the largest number of draws."""


@families.register("wei2021-hmm")
@dataclass(frozen=True, kw_only=True)
class Wei2021Family(Family):
    """An HMM whose transition and emission are nearly deterministic, as in the released code.

        initial = softmax(u / 10),  transition = sum_i w_i P_i with w = softmax(u / 0.01),  emission = softmax(u / 0.01)

    The softmax is over rows. There are as many random permutations P_i as states, and each u is uniform on [0, 1]. The
    task "posterior" asks for the sign of a random linear function of p(z_0 | x_1 .. x_128), where z_0 is the state one
    step before the first word (`random_readout`).

    The paper has 4, 8, 10, 12, 15, 25 and 30 states, and cuts texts of 10,240 words into windows of 512. Here, each
    sentence is the beginning of a text.

    Args:
        states: number of hidden states.
        words: size of the vocabulary.
        length: number of words in a sentence.
        task_words: number of words that the task "posterior" reads; a head before the text reads no more.
        task_positions: positions, from 1, of the hidden states that are tasks; see `HMM`.
        seed: seed of all random choices.

    Raises:
        InputError: on `build`, for fewer than 2 states, any other number below 1, and too many states.

    Source: Wei, Xie and Ma 2021, 2106.09226, section 5.
    """

    states: int
    words: int = 10
    length: int = WINDOW
    task_words: int = PREFIX
    task_positions: list[Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        if self.states < 2 or min(self.words, self.length, self.task_words) < 1:
            raise InputError(
                f"{self.states} states, {self.words} words, length {self.length}, task_words {self.task_words}: "
                "expected at least 2 states and 1 of the others; correct them"
            )
        generator = random_stream(self.seed, "language")
        initial = softmax_rows(1, self.states, START_TEMPERATURE, generator)[0]
        transition = permutation_mixture(self.states, self.states, TRANSITION_TEMPERATURE, generator)
        emission = softmax_rows(self.states, self.words, EMISSION_TEMPERATURE, generator)
        groups = torch.eye(self.states, dtype=torch.float64)
        read = min(self.length, self.task_words)
        readout = random_readout(HMM(initial, transition, emission, read), groups, generator, self.task_words)
        return HMM(initial, transition, emission, self.length, task_positions=self.task_positions, readout=readout)


def random_readout(chain: HMM, groups: Tensor, generator: torch.Generator, words: int = PREFIX) -> Readout:
    """Random weights on the posterior of z_0: the matrix product of W [2, G] and groups [G, K].

    W is zero except at six places, drawn with replacement, which contain standard Gaussian numbers. As in the released
    experiments, weights that give all sentences the same label are drawn again; here, 1,000 sentences of the chain
    decide.

    Args:
        chain: the HMM, over sentences of at most `words` words.
        groups: [G, K], the groups of states that share a weight.
        generator: on the CPU.
        words: the number of words that the task reads; 128 as published.

    Returns:
        The readout.

    Raises:
        InputError: if all weights drawn give all sentences the same label.
    """
    sentences = chain.sample(LOOKED_AT, generator, latents=False)
    posterior = state_before(chain, sentences.tokens, words)
    for _ in range(ATTEMPTS):
        flat = torch.zeros(LABELS * len(groups), dtype=torch.float64)
        places = torch.randint(len(flat), (ENTRIES,), generator=generator)
        for place, entry in zip(places, torch.randn(ENTRIES, generator=generator, dtype=torch.float64), strict=True):
            flat[place] = entry
        weights = flat.reshape(LABELS, -1) @ groups
        if len((posterior @ weights.T).argmax(1).unique()) == LABELS:
            return Readout(weights, words)
    raise InputError(
        "the task 'posterior' has the same label for all sentences; give longer sentences, or another seed"
    )
