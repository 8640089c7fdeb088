"""The linear probe as published: a linear layer trained by AdamW on the raw features (Liu et al. 2022, A.4)."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from ..errors import InputError
from ..randomness import random_stream
from .feature_store import Features
from .method import FeatureProbe, FittedProbe, probe_methods
from .projection import HEAD


@dataclass(frozen=True)
class LinearClassifier(FittedProbe):
    """argmax_c (W h + b)_c: weight W [k, d], bias b [k]."""

    weight: Tensor
    bias: Tensor

    @override
    def predict(self, features: Tensor) -> Tensor:
        return (features.to(self.weight) @ self.weight.T + self.bias).argmax(1)


@probe_methods.register("linear-adamw")
@dataclass(frozen=True)
class AdamW(FeatureProbe):
    """A linear layer trained by AdamW on features that are not standardised.

        min_(W, b)  mean_i -log softmax(W h_i + b)[y_i]

    lr and epochs are as published. The paper does not state the rest: here the rate is constant, and betas
    (0.9, 0.999), eps 1e-8 and weight decay 0.01 are torch's defaults. Weights and biases start uniform in +- d^(-1/2).
    Products with bf16 features are in bf16, while weights and moments stay in float32. With float64 features everything
    is in float64.

    Args:
        lr: learning rate of AdamW, constant; 1e-3 as published, unless given.
        epochs: passes over the training sentences; 100 as published, unless given.
        batch_size: sentences per step of AdamW.

    Raises:
        InputError: for a learning rate that is not positive, and for epochs or a batch size below 1.

    Source: Liu et al. 2022, 2210.14199, section 3 and A.4.
    """

    lr: float = 1e-3
    epochs: int = 100
    batch_size: int = 256

    def __post_init__(self) -> None:
        check_training(self.lr, self.epochs, self.batch_size)

    @override
    def row_settings(self) -> dict[str, Any]:
        # Without the probe's name, which rows of earlier versions lack too.
        return asdict(self)

    @override
    def fit(
        self, features: Features, labels: Tensor, num_classes: int, seed: int = 0, repeat: int = 0
    ) -> LinearClassifier:
        # The stream of (seed, repeat) draws the initial weights and, anew in each epoch, the order of the rows.
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
            for x, rows in zip(batches, torch.split(order, self.batch_size), strict=True):
                _differentiate(x.to(labels.device), labels[rows.to(labels.device)], weight, bias)
                optimizer.step()
        if not bool(weight.isfinite().all()):
            raise InputError(f"lr is {self.lr:g}: the probe's weights became infinite; give a smaller lr")
        return LinearClassifier(weight.detach(), bias.detach())


@torch.no_grad()
def _differentiate(x: Tensor, labels: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Sets the gradients [k, d] and [k] to those of mean -log softmax(W x + b)[y] over a batch x [m, d]."""
    # With few classes and many features, this order of the product is faster.
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
    """Checks the settings of AdamW.

    Raises:
        InputError: for a learning rate that is not positive, and for epochs or a batch size below 1.
    """
    if not 0 < lr < math.inf:
        raise InputError(f"lr is {lr}, expected a positive number; correct it")
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1; give a larger number")
