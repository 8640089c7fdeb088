"""What a condition is here: a number computed from a chain and a task, the least that it must be, and what follows.

A condition is one file: a frozen dataclass registered under its name. `satlab conditions` prints them all.

Notation: A [K, K] the transition with rows from, W [K, V] the emission, pi [K] the first state's distribution,
mu [K] = W_2 - W_1 the difference of the readout's two rows of weights, H* the states where mu is not 0. The label is
the sign of mu . p(z_0 | x), where z_0 is the state at a mask before the text.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError
from ...generators import Language, Task
from ...generators.hmm.language import HMM
from ...generators.hmm.tasks import PosteriorArgmax
from ...registry import Registry

Table = NDArray[np.float64]

CLASSES = 2
"""Classes of the tasks that the conditions are about."""


@dataclass(frozen=True)
class Chain:
    """What conditions are computed from, float64.

    Args:
        initial: pi [K].
        blocks: of A, [B, K/B, K/B].
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
    def mattering(self) -> NDArray[np.bool_]:
        """H*, [K]."""
        kept: NDArray[np.bool_] = self.mu != 0
        return kept


@dataclass(frozen=True)
class Verdict:
    """Whether a condition holds, and by how much.

    Args:
        quantity: what the number is.
        value: the number.
        least: what it must be at least.
        follows: what that means for a head or a prompt.
        more: further numbers.
    """

    quantity: str
    value: float
    least: float
    follows: str
    more: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def margin(self) -> float:
        """value - least; negative where the condition does not hold."""
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
        """Computes the number and what follows from it."""


conditions: Registry[Condition] = Registry("condition", "satlab.theory.conditions")
"""name -> condition."""


def with_posterior(language: Language, task: Task) -> tuple[HMM, PosteriorArgmax]:
    """The language and task, where the label is a linear function of the posterior of an HMM's state.

    Args:
        language: an HMM.
        task: its task "posterior".

    Returns:
        Both, as what they are.

    Raises:
        InputError: for others.
    """
    if not isinstance(language, HMM) or not isinstance(task, PosteriorArgmax):
        raise InputError(
            f"task '{task.name}' is no linear function of the posterior of an HMM's state, expected the task "
            "posterior; choose that, of a language such as wei2021-hmm"
        )
    return language, task


def chain_of(language: Language, task: Task) -> Chain:
    """What the conditions are computed from.

    Args:
        language: an HMM.
        task: its task "posterior", with two classes.

    Returns:
        The tables.

    Raises:
        InputError: for another language or task.
    """
    chain, task = with_posterior(language, task)
    weights = task.readout.weights.cpu().numpy()
    if len(weights) != CLASSES:
        raise InputError(f"task '{task.name}' has {len(weights)} classes, expected 2; give weights of two classes")
    initial, blocks, emission = (table.cpu().numpy() for table in (chain.initial, chain.blocks, chain.emission))
    return Chain(initial, blocks, emission, weights[1] - weights[0])
