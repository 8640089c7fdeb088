"""The interface of a condition: a number computed from a chain and a task, its least value, and the consequence.

A condition is a frozen dataclass registered under its name. `satlab conditions` prints them all.

Notation: A [K, K] is the transition, A_ij = P(z' = j | z = i). W [K, V] is the emission. pi [K] is the distribution of
the first state. mu [K] is the readout's weights for the second class minus those for the first. H* is the set of states
where mu is not 0. The label is the sign of mu . p(z_0 | x), where z_0 is the state at a mask before the text.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...generators import Language, Task
from ...probes.tuning.ideal import with_weights
from ...registry import Registry

Table = NDArray[np.float64]

ROUNDING = 1e-9
"""The largest deviation that counts as rounding."""

CLASSES = 2
"""The number of classes of the tasks for which the conditions are defined."""


@dataclass(frozen=True)
class Chain:
    """The tables from which conditions are computed, float64.

    Args:
        initial: pi [K].
        blocks: the diagonal blocks of A, [B, K/B, K/B].
        emission: W [K, V].
        mu: [K].
    """

    initial: Table
    blocks: Table
    emission: Table
    mu: Table

    @property
    def transition(self) -> Table:
        """A [K, K]."""
        size = self.blocks.shape[1]
        matrix = np.zeros((len(self.initial), len(self.initial)))
        for b, block in enumerate(self.blocks):
            matrix[b * size : (b + 1) * size, b * size : (b + 1) * size] = block
        return matrix

    @property
    def uniform(self) -> bool:
        """Whether pi is uniform and A doubly stochastic, so that the task's A p(z_1 | x) is p(z_0 | x) at the mask."""
        start = np.abs(self.initial * len(self.initial) - 1).max()
        return bool(max(start, np.abs(self.transition.sum(0) - 1).max()) <= ROUNDING)

    @property
    def mattering(self) -> NDArray[np.bool_]:
        """H*, [K]."""
        kept: NDArray[np.bool_] = self.mu != 0
        return kept


@dataclass(frozen=True)
class Verdict:
    """Whether a condition holds, and by which margin.

    Args:
        quantity: the name of the number.
        value: the number.
        least: the least value for which the condition holds.
        follows: the consequence for a head or a prompt.
        more: further numbers.
    """

    quantity: str
    value: float
    least: float
    follows: str
    more: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def margin(self) -> float:
        """value - least; negative if the condition does not hold."""
        return self.value - self.least

    @property
    def holds(self) -> bool:
        """Whether value >= least."""
        return bool(self.margin >= 0)


class Condition(ABC):
    """A condition. Subclasses are frozen dataclasses without settings."""

    order: ClassVar[int] = 0
    """Conditions are listed by this number."""

    @abstractmethod
    def check(self, chain: Chain) -> Verdict:
        """Computes the number and states its consequence."""


conditions: Registry[Condition] = Registry("condition", "satlab.theory.conditions")
"""name -> condition."""


def chain_of(language: Language, task: Task) -> Chain:
    """The tables from which the conditions are computed.

    Args:
        language: an HMM.
        task: its task "posterior", with two classes.

    Returns:
        The tables.

    Raises:
        InputError: for another language or task.
    """
    chain, task = with_weights(language, task)
    weights = task.readout.weights.cpu().numpy()
    if len(weights) != CLASSES:
        raise InputError(f"task '{task.name}' has {len(weights)} classes, expected 2; give weights of two classes")
    if bool((weights[0] == weights[1]).all()):
        raise InputError(
            f"task '{task.name}' has the same weights for both classes, so that all texts have one label; expected "
            "weights that differ; give others"
        )
    initial, blocks, emission = (table.cpu().numpy() for table in (chain.initial, chain.blocks, chain.emission))
    return Chain(initial, blocks, emission, weights[1] - weights[0])
