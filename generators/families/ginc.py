"""GINC: a mixture of HMMs over entities and properties (Xie, Raghunathan, Liang and Ma 2021, section 4).

The paper is "An explanation of in-context learning as implicit Bayesian inference". The numbers are those of its
released code. Its prompts for testing in-context learning are not part of the language.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...randomness import random_stream
from ..hmm.language import HMM
from ..language import Language
from .base import Family, families
from .draws import check_size, permutation_mixture, softmax_rows

START_TEMPERATURE, TRANSITION_TEMPERATURE = 10.0, 0.1

DELIMITER = "/"
"""The first word, which is the first property of every entity."""


@families.register("ginc")
@dataclass(frozen=True, kw_only=True)
class GincFamily(Family):
    """A mixture of HMMs, one for each concept, whose states are pairs (entity v, property s).

        p(v', s' | v, s, concept) = E[v, v'] S_concept[s, s'],   E = stickiness I + (1 - stickiness) M

    A document has one concept, which is uniform. A state emits the word memory[v, s]. M [entities, entities] and
    S_concept [properties, properties] are mixtures of random permutations, as many as they have rows, with the weights
    softmax(u / 0.1). All concepts share M and memory [entities, properties]. The words in memory are uniform among the
    words other than the delimiter, except that property 0 is the delimiter. A concept starts with the pair
    probabilities softmax(u / 10).

    The pair is state (concept * entities + v) * properties + s of the HMM, which has a block for each concept. The task
    "concept" asks for the concept. The released code has 5 concepts, stickiness 0.9, and documents of 10,240 words that
    are read in windows of 1,024; here, each sentence is the beginning of a document.

    Args:
        concepts: number of blocks of the chain; a document has one concept.
        entities: number of values of v.
        properties: number of values of s.
        words: size of the vocabulary, including the delimiter.
        stickiness: probability that the entity stays and is not drawn again.
        length: number of words in a sentence.
        task_positions: positions, from 1, of the hidden states that are tasks; see `HMM`.
        seed: seed of all random choices.

    Raises:
        InputError: on `build`, for a number that is below 1 (words: 2) or too large, and a stickiness that is not a
            probability.

    Source: Xie, Raghunathan, Liang and Ma 2021, section 4.
    """

    concepts: int = 5
    entities: int = 10
    properties: int = 10
    words: int = 50
    stickiness: float = 0.9
    length: int = 1024
    task_positions: list[Any] | None = None
    seed: int = 0

    @override
    def build(self) -> Language:
        least = min(self.concepts, self.entities, self.properties, self.length)
        if least < 1 or self.words < 2 or not 0 <= self.stickiness <= 1:
            raise InputError(
                f"{self.concepts} concepts, {self.entities} entities, {self.properties} properties, "
                f"{self.words} words, length {self.length}, stickiness {self.stickiness}: expected at least 1 of each, "
                "2 words, and a probability; correct them"
            )
        check_size(self.concepts * self.entities * self.properties, max(self.entities * self.properties, self.words))
        sizes = (self.concepts, self.entities, self.properties, self.words)
        return HMM(
            *_tables(*sizes, self.stickiness, random_stream(self.seed, "language")),
            self.length,
            words=[DELIMITER, *map(str, range(1, self.words))],
            task_positions=self.task_positions,
            block_task="concept" if self.concepts > 1 else None,
        )


def _tables(
    concepts: int, entities: int, properties: int, words: int, stickiness: float, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """(initial, the blocks of the transition, emission) of `GincFamily`, drawn in the order memory, M, S, starts."""
    memory = torch.randint(1, words, (entities, properties), generator=generator)
    memory[:, 0] = 0
    emission = torch.nn.functional.one_hot(memory.flatten(), words).double()
    mixture = permutation_mixture(entities, entities, TRANSITION_TEMPERATURE, generator)
    entity = stickiness * torch.eye(entities, dtype=torch.float64) + (1 - stickiness) * mixture
    blocks = [
        torch.kron(entity, permutation_mixture(properties, properties, TRANSITION_TEMPERATURE, generator))
        for _ in range(concepts)
    ]
    initial = softmax_rows(concepts, entities * properties, START_TEMPERATURE, generator).flatten() / concepts
    return initial, torch.stack(blocks), emission.repeat(concepts, 1)
