"""The noise of a gradient: what SGD adds to the gradient of the population loss. One entry of a registry each.

Theorem 4.3 is about sampled words alone. The others are controls, for which it says nothing or something else.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...registry import Registry


class Noise(ABC):
    """How a step's targets are drawn. An entry is a frozen dataclass of settings."""

    @abstractmethod
    def targets(self, joint: Tensor, batch: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        """The mass that each step of each replica puts on each context and word.

        Args:
            joint: w_c p*_cv, [C, V].
            batch: B, sentences of a step.
            shape: (steps, replicas R).
            generator: the source of the draws.

        Returns:
            [steps, R, C, V], whose sum over contexts and words is 1.
        """

    def truth(self, truth: Tensor) -> Tensor:
        """The conditionals [C, V] that minimise the mean of this loss, where p* is the law of the words."""
        return truth

    def added(self, gradient: Tensor, batch: int, generator: torch.Generator) -> Tensor:
        """What is added to the gradients [R, P] beside; nothing unless a subclass says so."""
        return gradient


noises: Registry[Noise] = Registry("noise", __name__)
"""name -> noise."""


def _sampled(joint: Tensor, batch: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Relative frequencies of context and word among B draws, [steps, R, C, V]."""
    rows, kinds = shape[0] * shape[1], joint.numel()
    drawn = torch.multinomial(joint.flatten().expand(rows, -1), batch, replacement=True, generator=generator)
    counts = joint.new_zeros(rows, kinds).scatter_add_(1, drawn, joint.new_ones(1).expand(rows, batch))
    return (counts / batch).view(*shape, *joint.shape)


@noises.register("sampled")
@dataclass(frozen=True)
class SampledWords(Noise):
    """Contexts and words drawn from the truth, as in training: covariance H / B on Gamma."""

    @override
    def targets(self, joint: Tensor, batch: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        return _sampled(joint, batch, shape, generator)


@noises.register("exact")
@dataclass(frozen=True)
class ExactTargets(Noise):
    """Contexts drawn, and their exact conditionals as targets: no noise on Gamma, hence no drift. The control."""

    @override
    def targets(self, joint: Tensor, batch: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        contexts = joint.sum(1, keepdim=True)
        return _sampled(contexts, batch, shape, generator) * (joint / contexts)


@noises.register("smoothed")
@dataclass(frozen=True)
class LabelSmoothing(Noise):
    """Sampled words, a share of whose mass is spread over all words; the minimum moves with it.

    Args:
        share: of the mass that is spread.
    """

    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise InputError(f"share is {self.share}, expected at least 0 and below 1; correct it")

    @override
    def targets(self, joint: Tensor, batch: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        drawn = _sampled(joint, batch, shape, generator)
        return (1 - self.share) * drawn + self.share * drawn.mean(-1, keepdim=True)

    @override
    def truth(self, truth: Tensor) -> Tensor:
        return (1 - self.share) * truth + self.share / truth.shape[-1]


@noises.register("isotropic")
@dataclass(frozen=True)
class Isotropic(Noise):
    """The population's gradient, plus normal noise of the same deviation in all directions, Gamma's own included.

    Args:
        deviation: of each entry at batch size 1; at batch size B it is smaller by B^(1/2).
    """

    deviation: float = 0.3

    def __post_init__(self) -> None:
        if not self.deviation >= 0:
            raise InputError(f"deviation is {self.deviation}, expected at least 0; correct it")

    @override
    def targets(self, joint: Tensor, batch: int, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        return joint.expand(*shape, *joint.shape)

    @override
    def added(self, gradient: Tensor, batch: int, generator: torch.Generator) -> Tensor:
        drawn = torch.randn(gradient.shape, generator=generator, dtype=gradient.dtype, device=gradient.device)
        return gradient + self.deviation / math.sqrt(batch) * drawn
