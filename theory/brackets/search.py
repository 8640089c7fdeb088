"""The search for the flattest network that predicts every masked bracket, by a penalty: loss + lambda Tr(H) by Adam.

It begins with random weights, and lambda falls to zero. The other search is by label noise, in label_noise.py.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam

from ...errors import InputError, at_least
from .network import Weights, forward, trace_of
from .sentences import Brackets


@dataclass(frozen=True)
class Start:
    """Random weights, normal numbers.

    Args:
        neurons: m.
        networks: R, searched side by side from weights of their own.
        deviation: of the weights.
    """

    neurons: int = 8
    networks: int = 3
    deviation: float = 0.5

    def __post_init__(self) -> None:
        for name in ("neurons", "networks"):
            at_least(name, getattr(self, name), 1)
        positive(self, "deviation")

    def drawn(self, brackets: Brackets, generator: torch.Generator) -> Weights:
        """The first weights.

        Args:
            brackets: the sentences.
            generator: the source of the draw.

        Returns:
            R networks.
        """
        size = 2 * brackets.length

        def part(*more: int) -> Tensor:
            shape = (self.networks, self.neurons, *more)
            return self.deviation * torch.randn(*shape, generator=generator, dtype=torch.float64)

        return Weights(part(size), part(size), part(size), part())


@dataclass(frozen=True)
class Penalty(Start):
    """Adam on loss + lambda Tr + lambda' / 2 ||theta||^2.

    Lambda falls geometrically, and lambda' as its square, so that in the end neither moves the minimum, and the decay
    less than the trace.

    Args:
        neurons: m.
        networks: R, searched side by side from weights of their own.
        deviation: of the first weights.
        steps: of Adam.
        lr: the first rate; it falls to a thirtieth of it, geometrically.
        penalty: the first lambda.
        last_penalty: the last lambda.
        weight_decay: the first lambda'.
    """

    steps: int = 3000
    lr: float = 0.03
    penalty: float = 1e-1
    last_penalty: float = 1e-4
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least("steps", self.steps, 1)
        positive(self, "lr", "penalty", "last_penalty")
        not_negative(self, "weight_decay")


def by_penalty(brackets: Brackets, search: Penalty, generator: torch.Generator) -> Weights:
    """The networks that the penalty leads to.

    Args:
        brackets: the sentences.
        search: how.
        generator: of the first weights.

    Returns:
        R networks.
    """
    weights = Weights(*(part.requires_grad_() for part in search.drawn(brackets, generator).parts))
    optimizer = Adam(weights.parts, lr=search.lr)
    ratio = search.last_penalty / search.penalty
    for step in range(search.steps):
        done = step / search.steps
        share = ratio**done
        optimizer.param_groups[0]["lr"] = search.lr * 30**-done
        on_way = forward(weights, brackets.masked)
        total = on_way.loss(brackets.targets) + search.penalty * share * trace_of(weights, on_way).total
        if search.weight_decay:
            squares = sum(part.square().flatten(1).sum(1) for part in weights.parts)
            total = total + search.weight_decay * share**2 / 2 * squares
        optimizer.zero_grad(set_to_none=True)
        total.sum().backward()
        optimizer.step()
    return Weights(*(part.detach() for part in weights.parts))


def positive(settings: Start, *names: str) -> None:
    """Raises InputError for a setting that is not above 0 and finite."""
    for name in names:
        if not 0 < getattr(settings, name) < float("inf"):
            raise InputError(f"{name} is {getattr(settings, name)}, expected a positive number; correct it")


def not_negative(settings: Start, name: str) -> None:
    """Raises InputError for a setting that is below 0 or not finite."""
    if not 0 <= getattr(settings, name) < float("inf"):
        raise InputError(f"{name} is {getattr(settings, name)}, expected a number from 0 on; correct it")
