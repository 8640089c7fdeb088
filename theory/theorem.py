"""What a theorem is here: settings, the quantities that it equates or bounds, and both sides of each as measured.

A theorem is one file: a frozen dataclass registered under the name that `satlab theorem --name`, studies and rows give
it. See docs/extending.md.
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
    """What a theorem is checked on.

    Args:
        model: a trained model, in evaluation mode.
        language: the language that it was trained on.
        masking: what it predicts, as in training: "one", "bernoulli:p" or "next".
        seed: what sentences and random vectors derive from.
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
        name: which, such as "covariance = gauss-newton".
        left: the left side.
        right: the right side.
        relation: "=" or "<=".
        slack: how far the left side may miss the right one, or exceed it, for reasons that are none of the theorem's:
            rounding, or the sampling error of the difference; in the unit of both.
        unit: of both sides.
    """

    name: str
    left: Estimate
    right: Estimate
    relation: Literal["=", "<="]
    slack: float
    unit: str

    @property
    def holds(self) -> bool:
        """Whether left = right, or left <= right, up to the slack; False where a side is no number."""
        excess = self.left.value - self.right.value
        if self.relation == "=":
            excess = abs(excess)
        return not math.isnan(excess) and excess <= self.slack


class Theorem(ABC):
    """A theorem. Subclasses are frozen dataclasses; their fields are their settings, checked on construction."""

    source: ClassVar[str]
    """Paper and number."""

    @abstractmethod
    def check(self, subject: Subject) -> Iterator[Link]:
        """Both sides of each link of the theorem.

        Raises:
            InputError: for a subject that the theorem says nothing of.
        """


theorems: Registry[Theorem] = Registry("theorem", "satlab.theory")
"""name -> theorem."""
