"""The search for the flattest network that predicts every masked bracket.

By the penalty: loss + lambda Tr, lambda falling to zero, from random weights, by Adam. By label noise: full-batch
gradient descent on y + normal noise, whose limit on the minimum is the same as that of the penalty (Blanc et al. 2020;
Damian, Ma and Lee 2021): the squared loss of a y that is a function of x has no noise of its own at loss zero.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Adam

from ...errors import InputError, at_least
from .network import Weights, loss, trace
from .sentences import Brackets


@dataclass(frozen=True)
class Search:
    """Settings of a search.

    Args:
        neurons: m.
        networks: R, searched side by side from weights of their own.
        steps: of Adam, or of gradient descent.
        lr: the first rate; it falls to a thirtieth of it, geometrically.
        penalty: the first lambda.
        last_penalty: the last lambda; it falls geometrically.
        weight_decay: lambda' in lambda' / 2 ||theta||^2, added to the loss while it falls with lambda.
        label_noise: deviation of the noise on y; by gradient descent without a penalty where it is above 0.
        deviation: of the initial weights.
    """

    neurons: int = 8
    networks: int = 3
    steps: int = 6000
    lr: float = 0.03
    penalty: float = 1e-1
    last_penalty: float = 1e-4
    weight_decay: float = 0.0
    label_noise: float = 0.0
    deviation: float = 0.5

    def __post_init__(self) -> None:
        for name in ("neurons", "networks", "steps"):
            at_least(name, getattr(self, name), 1)
        for name in ("lr", "penalty", "last_penalty", "deviation"):
            if not 0 < getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}, expected a positive number; correct it")
        for name in ("weight_decay", "label_noise"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise InputError(f"{name} is {getattr(self, name)}, expected a number from 0 on; correct it")


def searched(brackets: Brackets, search: Search, generator: torch.Generator) -> Weights:
    """The networks that a search ends with.

    Args:
        brackets: the sentences.
        search: how.
        generator: of the first weights and of the label noise.

    Returns:
        R networks.
    """
    shape = (search.networks, search.neurons)

    def drawn(*more: int) -> Tensor:
        start = torch.randn(*shape, *more, generator=generator, dtype=torch.float64)
        return (search.deviation * start).requires_grad_()

    size = 2 * brackets.length
    weights = Weights(drawn(size), drawn(size), drawn(size), drawn())
    if search.label_noise > 0:
        return _by_label_noise(brackets, search, weights, generator)
    return _by_penalty(brackets, search, weights)


def _by_penalty(brackets: Brackets, search: Search, weights: Weights) -> Weights:
    optimizer = Adam(weights.parts, lr=search.lr)
    x, y = brackets.masked, brackets.targets
    ratio = search.last_penalty / search.penalty
    for step in range(search.steps):
        done = step / search.steps
        share = search.penalty * ratio**done
        optimizer.param_groups[0]["lr"] = search.lr * 30**-done
        total = loss(weights, x, y) + share * trace(weights, x).total
        if search.weight_decay:
            squares = sum(part.square().flatten(1).sum(1) for part in weights.parts)
            total = total + search.weight_decay * share / search.penalty / 2 * squares
        optimizer.zero_grad(set_to_none=True)
        total.sum().backward()
        optimizer.step()
    return _detached(weights)


def _by_label_noise(brackets: Brackets, search: Search, weights: Weights, generator: torch.Generator) -> Weights:
    """Gradient descent; each network has noise of its own, and the last quarter of the steps none, to end at loss 0."""
    x, y = brackets.masked, brackets.targets
    for step in range(search.steps):
        noisy = y.expand(len(weights), -1)
        if step < 3 * search.steps // 4:
            noise = torch.randn(noisy.shape, generator=generator, dtype=y.dtype)
            noisy = noisy + search.label_noise * noise
        gradients = torch.autograd.grad(loss(weights, x, noisy).sum(), weights.parts)
        with torch.no_grad():
            for part, gradient in zip(weights.parts, gradients, strict=True):
                part.sub_(gradient, alpha=search.lr)
    return _detached(weights)


def _detached(weights: Weights) -> Weights:
    return Weights(*(part.detach() for part in weights.parts))
