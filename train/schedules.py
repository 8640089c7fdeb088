"""Schedules of the learning rate after the warm-up."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

from typing_extensions import override

from ..errors import InputError
from ..registry import Registry


class Schedule(ABC):
    """The learning rate after the warm-up, as a share of its peak. An entry is a frozen dataclass."""

    @property
    def tail(self) -> float | None:
        """The length of a decay that begins at saturation, as a share of the steps after the warm-up.

        Training ends with this decay. None if the schedule does not depend on saturation.
        """
        return None

    @abstractmethod
    def share(self, left: float) -> float:
        """Returns the learning rate as a share of its peak.

        Args:
            left: the remaining share of the steps after the warm-up, from 1 down to 0.
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


@schedules.register("wsd")
@dataclass(frozen=True)
class WSD(Schedule):
    """Warm-up, stable, decay: the peak rate, then a linear decay to zero over the last steps.

    Args:
        decay: length of the decay as a share of the steps after the warm-up.
        at_saturation: begin the decay at the first row at which the model is saturated, and end training with it;
            without such a row, the decay takes the last steps before the limit.

    Raises:
        InputError: for a share that is not above 0 and at most 1.

    Source: Hu et al. 2024, 2404.06395.
    """

    decay: float = 0.2
    at_saturation: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise InputError(f"decay is {self.decay}, expected a share above 0 and at most 1; correct it")

    @property
    @override
    def tail(self) -> float | None:
        return self.decay if self.at_saturation else None

    @override
    def share(self, left: float) -> float:
        return min(1.0, left / self.decay)
