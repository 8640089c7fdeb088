"""The interface of a theorem: its settings, and both measured sides of each equation or inequality, with the registry.

A theorem is a frozen dataclass. Its registered name is the one used in `satlab theorem --name`, in studies and in rows
of results. See docs/extending.md.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from ..estimate import Estimate
from ..generators import Language
from ..generators.named import as_kind
from ..models import LanguageModel
from ..registry import Registry


@dataclass(frozen=True)
class Subject:
    """The model and the language on which a theorem is checked.

    Args:
        model: a trained model, in evaluation mode.
        language: the language on which it was trained.
        masking: what it predicts, as in training: "one", "bernoulli:p" or "next".
        seed: the seed of sentences and random vectors.
    """

    model: LanguageModel
    language: Language
    masking: str = "one"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("model", "language"):
            object.__setattr__(self, name, as_kind(name, getattr(self, name), vars(self)))


@dataclass(frozen=True)
class Link:
    """One equation or inequality of a theorem, with both sides as measured.

    Args:
        name: its name, such as "covariance = gauss-newton".
        left: the left side.
        right: the right side.
        relation: "=" or "<=".
        slack: how far the left side may differ from the right one ("=") or exceed it ("<=") because of rounding or the
            sampling error of the difference, in the unit of both sides.
        unit: the unit of both sides.
    """

    name: str
    left: Estimate
    right: Estimate
    relation: Literal["=", "<="]
    slack: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether left = right, or left <= right, up to the slack; False if a side is not a number."""
        excess = self.left.value - self.right.value
        if self.relation == "=":
            excess = abs(excess)
        return not math.isnan(excess) and excess <= self.slack


class Theorem(ABC):
    """A theorem. Subclasses are frozen dataclasses whose fields are settings, checked at construction."""

    source: ClassVar[str]
    """The paper, and the number of the theorem."""

    @abstractmethod
    def check(self, subject: Subject) -> Iterator[Link]:
        """Measures both sides of each link of the theorem.

        Raises:
            InputError: for a subject to which the theorem does not apply.
        """


theorems: Registry[Theorem] = Registry("theorem", "satlab.theory")
"""name -> theorem."""
