"""How the learning rate goes on after the warm-up."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..registry import Registry


class Schedule(ABC):
    """The share of the peak rate that is left after the warm-up."""

    @abstractmethod
    def share(self, left: float) -> float:
        """The share of the peak rate where `left` of the steps after the warm-up are still to be taken, 1 to 0."""


schedules: Registry[Schedule] = Registry("schedule", __name__)


@schedules.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The peak rate until the end."""

    def share(self, left: float) -> float:
        return 1.0


@schedules.register("linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """A straight line to zero at the step limit."""

    def share(self, left: float) -> float:
        return left


@schedules.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a cosine to zero at the step limit: (1 - cos(pi left)) / 2."""

    def share(self, left: float) -> float:
        return 0.5 * (1 - math.cos(math.pi * left))
