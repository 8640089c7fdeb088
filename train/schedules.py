"""Schedules of the learning rate after the warm-up."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from typing_extensions import override

from ..registry import Registry


class Schedule(ABC):
    """The learning rate after the warm-up, as a share of its peak. An entry is a frozen dataclass."""

    @abstractmethod
    def share(self, left: float) -> float:
        """Returns the share of the peak rate.

        Args:
            left: share of the steps after the warm-up that remain, from 1 down to 0.
        """


schedules: Registry[Schedule] = Registry("schedule", __name__)
"""name -> schedule."""


@schedules.register("constant")
@dataclass(frozen=True)
class Constant(Schedule):
    """The peak rate, to the end."""

    @override
    def share(self, left: float) -> float:
        return 1.0


@schedules.register("linear")
@dataclass(frozen=True)
class Linear(Schedule):
    """A linear decay to zero at the step limit."""

    @override
    def share(self, left: float) -> float:
        return left


@schedules.register("cosine")
@dataclass(frozen=True)
class Cosine(Schedule):
    """A cosine decay to zero at the step limit: (1 - cos(pi left)) / 2."""

    @override
    def share(self, left: float) -> float:
        return 0.5 * (1 - math.cos(math.pi * left))
