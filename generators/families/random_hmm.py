"""Random hidden Markov models."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..hmm.language import DEFAULT_LENGTH, HMM
from ..language import Language
from .base import Family, families
from .draws import check_size, dirichlet, emissions
from .target_floor import at_target_floor


def random_hmm(
    states: int,
    words: int,
    length: int,
    generator: torch.Generator,
    blocks: int = 1,
    transition_concentration: float = 1.0,
    emission_concentration: float = 1.0,
    shared_words: bool = False,
    task_positions: Sequence[int] | None = None,
    zipf: float | None = None,
    temperature: float = 1.0,
) -> HMM:
    """A random HMM with a block-diagonal transition matrix, as in Liu et al. 2022 (A.1).

    The initial distribution is uniform. Rows of the transition are Dirichlet within their block.

    Args:
        states: K.
        words: V.
        length: the length of the sentences, in words.
        generator: the source of all random choices.
        blocks: the number of blocks of the transition and, unless shared_words, of the emission.
        transition_concentration: the parameter of the Dirichlet distribution of a state's successors.
        emission_concentration: the parameter of the Dirichlet distribution of a state's words; see `draws.emissions`.
        shared_words: if True, all states emit all words; if False, each block has its own words.
        task_positions: as for `HMM`.
        zipf: as for `draws.emissions`.
        temperature: as for `draws.emissions`.

    Returns:
        The language.

    Raises:
        InputError: for numbers below 1, and for blocks that do not divide the states or, unless they are shared, the
            words.
    """
    if min(states, words, length) < 1:
        raise InputError(f"{states} states, {words} words, length {length}: expected at least 1 of each; correct them")
    if blocks < 1 or states % blocks or (words % blocks and not shared_words):
        raise InputError(
            f"{blocks} blocks for {states} states and {words} words: expected a divisor of both numbers; correct it"
        )
    check_size(states, words)
    size, share = states // blocks, words if shared_words else words // blocks
    transition = dirichlet(states, size, transition_concentration, generator).reshape(blocks, size, size)
    rows = emissions(states, share, generator, emission_concentration, zipf, temperature)
    emission = rows if shared_words else torch.block_diag(*rows.reshape(blocks, size, share))
    initial = torch.full((states,), 1 / states, dtype=torch.float64)
    return HMM(initial, transition, emission, length, task_positions=task_positions)


@families.register("random-hmm")
@dataclass(frozen=True, kw_only=True)
class RandomHMMFamily(Family):
    """A random HMM: `random_hmm`.

    Args:
        states: number of hidden states.
        words: size of the vocabulary.
        length: number of words in a sentence.
        blocks: number of blocks of the transition matrix and, unless shared_words, of the emission.
        transition_concentration: parameter of the Dirichlet distribution of a state's successors.
        emission_concentration: parameter of the Dirichlet distribution of a state's words.
        zipf: exponent of the words' frequencies, instead of emission_concentration.
        temperature: temperature of the emission, p^(1/temperature); see `draws.tempered`.
        target_floor: loss floor with one word hidden, which determines the temperature; nats.
        shared_words: whether all blocks emit the same words.
        task_positions: positions, from 1, of the hidden states that are tasks; see `HMM`.
        seed: seed of all random choices.

    Source: Liu et al. 2022, 2210.14199, A.1.
    """

    states: int
    words: int
    length: int = DEFAULT_LENGTH
    blocks: int = 1
    transition_concentration: float = 1.0
    emission_concentration: float = 1.0
    zipf: float | None = None
    temperature: float = 1.0
    target_floor: float | None = None
    shared_words: bool = False
    task_positions: list[Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        concentrations = (self.transition_concentration, self.emission_concentration)

        def at(t: float) -> HMM:
            generator = random_stream(self.seed, "language")
            rows = (*concentrations, self.shared_words, self.task_positions, self.zipf, t)
            return random_hmm(self.states, self.words, self.length, generator, self.blocks, *rows)

        return at_target_floor(at, self.target_floor, self.temperature, self.seed)
