"""The linear probe as published: a linear layer trained by AdamW on the features as they are (Liu et al. 2022, A.4)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..randomness import random_stream
from .feature_store import Features
from .projection import HEAD


@dataclass(frozen=True)
class Head:
    """A linear classifier: weight [k, d], bias [k]."""

    weight: Tensor
    bias: Tensor

    def predict(self, features: Tensor) -> Tensor:
        """The most probable class [n] of features [n, d]."""
        return (features.to(self.weight) @ self.weight.T + self.bias).argmax(1)


@dataclass(frozen=True)
class AdamW:
    """lr 1e-3 and 100 epochs as published; the rest the paper leaves open, and here it is what torch does unless told.

    Constant rate, betas 0.9 and 0.999, eps 1e-8, weight decay 0.01, weights and bias uniform in +- d^(-1/2) to begin with.
    Features are not standardised. batch_size 256 is a choice of ours. Features in bf16 are multiplied in bf16, weights
    and their averages stay in float32; float64 features are worked with in float64.
    """

    lr: float = 1e-3
    epochs: int = 100
    batch_size: int = 256

    def __post_init__(self) -> None:
        check_training(self.lr, self.epochs, self.batch_size)

    def fit(self, features: Features, labels: Tensor, num_classes: int, seed: int = 0, repeat: int = 0) -> Head:
        """The head for features [n, d] and labels [n]; what is drawn, weights and order, is a function of (seed, repeat).

        Every epoch goes through all rows once, in a new order. Raises InputError where the weights do not stay finite.
        """
        generator = random_stream(seed, "probe", repeat, HEAD)
        bound, dtype = features.width**-0.5, torch.promote_types(features.dtype, torch.float32)
        table = torch.rand(num_classes, features.width + 1, generator=generator, dtype=torch.float64)
        table = ((2 * table - 1) * bound).to(labels.device, dtype)
        weight, bias = (torch.nn.Parameter(part.clone()) for part in (table[:, :-1], table[:, -1]))
        weight.grad = torch.zeros_like(weight)
        optimizer = torch.optim.AdamW([weight, bias], lr=self.lr, fused=True)
        for _ in range(self.epochs):
            order = torch.randperm(len(labels), generator=generator)
            batches = features.batches(order, self.batch_size)
            for x, rows in zip(batches, order.split(self.batch_size), strict=True):
                _differentiate(x.to(labels.device), labels[rows.to(labels.device)], weight, bias)
                optimizer.step()
        if not bool(weight.isfinite().all()):
            raise InputError(f"lr is {self.lr:g}: the probe's weights became infinite; give a smaller lr")
        return Head(weight.detach(), bias.detach())


@torch.no_grad()
def _differentiate(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Sets the gradients [k, d] and [k] of mean -log softmax(W x + b)[y] over a batch, in the place of those before."""
    # This order of the product is the faster one for few classes and many features.
    wrong = ((weight.to(x.dtype) @ x.T).T.to(weight.dtype) + bias).softmax(1)
    wrong[torch.arange(len(labels), device=labels.device), labels] -= 1
    wrong /= len(labels)
    assert weight.grad is not None
    if x.dtype == weight.dtype:
        torch.mm(wrong.T, x, out=weight.grad)
    else:
        weight.grad.copy_(wrong.T.to(x.dtype) @ x)
    bias.grad = wrong.sum(0)


def check_training(lr: float, epochs: int, batch_size: int) -> None:
    """Raises InputError for a rate that is not positive, and for no epochs or examples a step."""
    if not 0 < lr < math.inf:
        raise InputError(f"lr is {lr}, expected a positive number; correct it")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1; give a larger number")
