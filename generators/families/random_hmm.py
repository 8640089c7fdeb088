"""Random hidden Markov models."""

import torch

from ...errors import InputError
from ..hmm import HMM
from .draws import dirichlet


def random_hmm(
    states: int,
    words: int,
    length: int,
    generator: torch.Generator,
    blocks: int = 1,
    transition_concentration: float = 1.0,
    emission_concentration: float = 1.0,
    shared_words: bool = False,
) -> HMM:
    """A random HMM with a block-diagonal transition matrix, as in Liu et al. 2022 (A.2).

    Rows of the transition are Dirichlet within their block, rows of the emission Dirichlet over the block's own share of
    the words (block-diagonal too), or over all words with shared_words=True. The start is uniform.

    Raises InputError where blocks do not divide the states (and the words, unless they are shared).
    """
    if min(states, words, length) < 1:
        raise InputError(f"{states} states, {words} words, length {length}: expected at least 1 of each; correct them")
    if blocks < 1 or states % blocks or (words % blocks and not shared_words):
        raise InputError(f"{blocks} blocks for {states} states and {words} words: expected a divisor of both")
    size, share = states // blocks, words if shared_words else words // blocks
    transition = dirichlet(states, size, transition_concentration, generator).reshape(blocks, size, size)
    rows = dirichlet(states, share, emission_concentration, generator)
    emission = rows if shared_words else torch.block_diag(*rows.reshape(blocks, size, share))
    return HMM(torch.full((states,), 1 / states, dtype=torch.float64), transition, emission, length)
