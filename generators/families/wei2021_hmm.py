"""The HMMs of Wei, Xie and Ma, "Why do pretrained language models help in downstream tasks?" (2021), section 5.

The paper leaves the numbers to its released code; this is that code's recipe, with a random stream of satlab's own.
"""

import torch
from torch import Tensor

from ...errors import InputError
from ...randomness import random_stream
from ..hmm.language import HMM
from ..hmm.tasks import Readout, state_before
from .draws import permutation_mixture, softmax_rows

WINDOW = 512
"""Words that the paper's models read at a time."""

START_TEMPERATURE, TRANSITION_TEMPERATURE, EMISSION_TEMPERATURE = 10.0, 0.01, 0.01

LABELS, ENTRIES, PREFIX = 2, 6, 128
"""The downstream task: two classes, six Gaussian weights, a function of the first 128 words."""

LOOKED_AT, ATTEMPTS = 1000, 1000
"""Sentences whose labels decide whether random weights will do, and how often weights are drawn."""


def build(
    *, states: int, words: int = 10, length: int = WINDOW, task_positions: list | None = None, seed: int = 0
) -> HMM:
    """An HMM whose transition and emission are nearly deterministic, as in the released code.

        initial = softmax(u / 10),  transition = sum_i w_i P_i with w = softmax(u / 0.01),  emission = softmax(u / 0.01)

    by rows, with as many random permutations P_i as states and every u uniform on [0, 1]. Task "posterior": the sign
    of a random linear function of p(z_0 | x_1 .. x_128), z_0 the state one step before the first word
    (`random_readout`).

    The paper has 4, 8, 10, 12, 15, 25 and 30 states, and cuts texts of 10,240 words into windows of 512; here every
    sentence is the beginning of a text. Raises InputError for fewer than 2 states, fewer than 1 word or position, and
    far too many states.
    """
    if states < 2 or min(words, length) < 1:
        raise InputError(
            f"{states} states, {words} words, length {length}: expected at least 2 states and 1 of the others; "
            "correct them"
        )
    generator = random_stream(seed, "language")
    initial = softmax_rows(1, states, START_TEMPERATURE, generator)[0]
    transition = permutation_mixture(states, states, TRANSITION_TEMPERATURE, generator)
    emission = softmax_rows(states, words, EMISSION_TEMPERATURE, generator)
    groups = torch.eye(states, dtype=torch.float64)
    readout = random_readout(HMM(initial, transition, emission, min(length, PREFIX)), groups, generator)
    return HMM(initial, transition, emission, length, task_positions=task_positions, readout=readout)


def random_readout(chain: HMM, groups: Tensor, generator: torch.Generator) -> Readout:
    """Random weights on the posterior of z_0: W groups [2, K], for groups [G, K] of states that count as one.

    W [2, G] is zero but for six places, drawn with replacement, that hold standard Gaussian numbers. As in the released
    experiments, weights that give every sentence the same label are drawn again: here, those of 1,000 sentences of the
    chain. Raises InputError where no weights tell sentences apart.
    """
    sentences = chain.sample(LOOKED_AT, generator, latents=False)
    posterior = state_before(chain, sentences.tokens, PREFIX)
    for _ in range(ATTEMPTS):
        flat = torch.zeros(LABELS * len(groups), dtype=torch.float64)
        places = torch.randint(len(flat), (ENTRIES,), generator=generator)
        for place, entry in zip(places, torch.randn(ENTRIES, generator=generator, dtype=torch.float64), strict=True):
            flat[place] = entry
        weights = flat.reshape(LABELS, -1) @ groups
        if len((posterior @ weights.T).argmax(1).unique()) == LABELS:
            return Readout(weights, PREFIX)
    raise InputError("the task 'posterior' has the same label for all sentences: give longer ones, or another seed")
