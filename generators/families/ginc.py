"""GINC: a mixture of HMMs over entities and properties (Xie, Raghunathan, Liang and Ma 2021, section 4).

"An explanation of in-context learning as implicit Bayesian inference"; the numbers are those of its released code. The
prompts, the paper's test of in-context learning, are no part of the language.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...randomness import random_stream
from ..hmm.language import HMM
from ..language import Language
from .base import Family, families
from .draws import check_size, permutation_mixture, softmax_rows

START_TEMPERATURE, TRANSITION_TEMPERATURE = 10.0, 0.1

DELIMITER = "/"
"""The first word; the first property of every entity."""


@families.register("ginc")
@dataclass(frozen=True, kw_only=True)
class GincFamily(Family):
    """A document has one concept, uniform; its state is a pair (entity v, property s) and emits the word memory[v, s].

        p(v', s' | v, s, concept) = E[v, v'] S_concept[s, s'],   E = stickiness I + (1 - stickiness) M

    M [entities, entities] and S_concept [properties, properties] are mixtures of as many random permutations as they
    have rows, with the weights softmax(u / 0.1); M is shared by all concepts. memory [entities, properties] is shared
    too: uniform words, the delimiter for property 0. A concept starts with the pair probabilities softmax(u / 10).

    That is state (concept * entities + v) * properties + s of the HMM, with a block for each concept. Task "concept":
    which one it is. The released code has 5 concepts, stickiness 0.9, and documents of 10,240 words read in windows of
    1,024; here every sentence is the beginning of a document.

    Raises InputError where a number is below 1 (words: 2) or far too large, or stickiness is no probability.

    Args:
        concepts: blocks of the chain, one a document.
        entities: values of the first half of a state.
        properties: values of the second half of a state.
        words: in the vocabulary, the delimiter among them.
        stickiness: the probability that an entity stays without being drawn again.
        length: words in a sentence.
        task_positions: which hidden states are tasks, counted from 1; see `HMM`.
        seed: what all random choices derive from.
    """

    concepts: int = 5
    entities: int = 10
    properties: int = 10
    words: int = 50
    stickiness: float = 0.9
    length: int = 1024
    task_positions: list | None = None
    seed: int = 0

    def build(self) -> Language:
        least = min(self.concepts, self.entities, self.properties, self.length)
        if least < 1 or self.words < 2 or not 0 <= self.stickiness <= 1:
            raise InputError(
                f"{self.concepts} concepts, {self.entities} entities, {self.properties} properties, {self.words} words, "
                f"length {self.length}, stickiness {self.stickiness}: expected at least 1 of each, 2 words, and a "
                "probability; correct them"
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
    """(initial, the blocks of the transition, emission) as `GincFamily` says, drawn in the order memory, M, S, starts."""
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
