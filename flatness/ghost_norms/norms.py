"""The squared norm of a parameter's gradient in each context, from the operation that uses the parameter.

With g the gradient at the output of this use, for one context:

    product  z_s = W a_s              || sum_s g_s a_s^T ||^2 = sum_{s,r} (a_s . a_r) (g_s . g_r)
    shift    z_s = .. + b             || sum_s g_s ||^2
    scale    z_s = w * a_s            || sum_s g_s * a_s ||^2
    lookup   z_s = E[x_s]             sum_{s,r: x_s = x_r} g_s . g_r
    entry    z = P[slice]             || g ||^2

The first is due to Goodfellow (2015) for one position and to Li et al. (2022, ghost norms) for several. If the gradient
of a product costs less than the two Gram matrices, the gradient is formed. Shapes: a and g [m, S, .]; norms [m],
float64.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import override

LARGEST = 2**25
"""The most numbers in the gradients formed at a time."""


class Rows:
    """The input of a product, [m, S, d]. Its Gram matrices are computed once and serve all gradients."""

    def __init__(self, values: Tensor) -> None:
        self.values = values

    @cached_property
    def gram(self) -> Tensor:
        """a_s . a_r, [m, S, S]."""
        return self.values @ self.values.transpose(1, 2)


@dataclass(frozen=True)
class Use(ABC):
    """The only use of a parameter in a forward pass.

    Args:
        name: the name of the parameter.
        z: the output of the use.
        begin: the first column of the output that belongs to the parameter.
        end: the column after the last one; None for all columns.
    """

    name: str
    z: Tensor
    begin: int = 0
    end: int | None = None

    def squares(self, gradient: Tensor) -> Tensor:
        """|| gradient with respect to the parameter ||^2, [m], from the gradient with respect to z."""
        return self.of(gradient.flatten(1, -2)[..., self.begin : self.end] if gradient.dim() > 2 else gradient[:, None])

    @abstractmethod
    def of(self, g: Tensor) -> Tensor:
        """|| gradient with respect to the parameter ||^2, [m], from its columns g [m, S, .] of the gradient at z."""


@dataclass(frozen=True)
class Product(Use):
    """z_s = W a_s; `rows` holds a."""

    rows: Rows | None = None

    @override
    def of(self, g: Tensor) -> Tensor:
        assert self.rows is not None
        a = self.rows.values
        S, into, out = a.shape[1], a.shape[2], g.shape[2]
        if S * (into + out) <= into * out:
            return (self.rows.gram * (g @ g.transpose(1, 2))).sum((1, 2), dtype=torch.float64)
        parts = max(1, LARGEST // (into * out))
        return torch.cat(
            [_square(h.transpose(1, 2) @ b) for b, h in zip(torch.split(a, parts), torch.split(g, parts), strict=True)]
        )


@dataclass(frozen=True)
class Shift(Use):
    """z_s = .. + b."""

    @override
    def of(self, g: Tensor) -> Tensor:
        return _square(g.sum(1))


@dataclass(frozen=True)
class Scale(Use):
    """z_s = w * a_s; `rows` holds a."""

    rows: Rows | None = None

    @override
    def of(self, g: Tensor) -> Tensor:
        assert self.rows is not None
        return _square((g * self.rows.values).sum(1))


@dataclass(frozen=True)
class Lookup(Use):
    """z_s = E[x_s]; `tokens` [m, S] holds x."""

    tokens: Tensor | None = None

    @override
    def of(self, g: Tensor) -> Tensor:
        assert self.tokens is not None
        same = self.tokens[:, :, None] == self.tokens[:, None, :]
        return ((g @ g.transpose(1, 2)) * same).sum((1, 2), dtype=torch.float64)


@dataclass(frozen=True)
class Entry(Use):
    """z = P[slice]."""

    @override
    def of(self, g: Tensor) -> Tensor:
        return _square(g)


def _square(x: Tensor) -> Tensor:
    return x.flatten(1).square().sum(1, dtype=torch.float64)
