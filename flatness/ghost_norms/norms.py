"""How a parameter is used, and the squared norm of its gradient, context by context, without the gradient itself.

With g the gradient at a use's output, for one context:

    product  z_s = W a_s              || sum_s g_s a_s^T ||^2 = sum_{s,r} (a_s . a_r) (g_s . g_r)
    shift    z_s = .. + b             || sum_s g_s ||^2
    scale    z_s = w * a_s            || sum_s g_s * a_s ||^2
    lookup   z_s = E[x_s]             sum_{s,r: x_s = x_r} g_s . g_r
    entry    z = P[slice]             || g ||^2

The first is Goodfellow's (2015) for one position, Li et al.'s (2022, ghost norms) for several; of a product whose
gradient is smaller than the two Gram matrices, the gradient is formed. Shapes: a, g [m, S, .], norms [m] float64.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

LARGEST = 2**25
"""Numbers of gradients that are formed at a time."""


class Rows:
    """What goes into products, [m, S, d]; its Gram matrices are computed once for all gradients."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @cached_property
    def gram(self) -> Tensor:
        return self.values @ self.values.transpose(1, 2)


@dataclass(frozen=True)
class Use:
    """Parameter `name`, used once; z: the output, of which columns begin .. end - 1 are its own."""

    name: str
    z: Tensor
    begin: int = 0
    end: int | None = None

    def squares(self, gradient: Tensor) -> Tensor:
        """|| gradient with respect to the parameter ||^2 [m], given that with respect to z."""
        return self.of(gradient.flatten(1, -2)[..., self.begin : self.end] if gradient.dim() > 2 else gradient[:, None])

    def of(self, g: Tensor) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class Product(Use):
    rows: Rows | None = None

    def of(self, g: Tensor) -> Tensor:
        assert self.rows is not None
        a = self.rows.values
        S, into, out = a.shape[1], a.shape[2], g.shape[2]
        if S * (into + out) <= into * out:
            return (self.rows.gram * (g @ g.transpose(1, 2))).sum((1, 2), dtype=torch.float64)
        parts = max(1, LARGEST // (into * out))
        return torch.cat([_square(h.transpose(1, 2) @ b) for b, h in zip(a.split(parts), g.split(parts), strict=True)])


@dataclass(frozen=True)
class Shift(Use):
    def of(self, g: Tensor) -> Tensor:
        return _square(g.sum(1))


@dataclass(frozen=True)
class Scale(Use):
    rows: Rows | None = None

    def of(self, g: Tensor) -> Tensor:
        assert self.rows is not None
        return _square((g * self.rows.values).sum(1))


@dataclass(frozen=True)
class Lookup(Use):
    tokens: Tensor | None = None

    def of(self, g: Tensor) -> Tensor:
        assert self.tokens is not None
        same = self.tokens[:, :, None] == self.tokens[:, None, :]
        return ((g @ g.transpose(1, 2)) * same).sum((1, 2), dtype=torch.float64)


@dataclass(frozen=True)
class Entry(Use):
    def of(self, g: Tensor) -> Tensor:
        return _square(g)


def _square(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1, dtype=torch.float64)
