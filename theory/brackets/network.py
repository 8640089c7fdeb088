"""The network of section 6: one attention head and one hidden layer. Its output at the first position is the answer.

    s_i = <W_Q x_1, W_K x_i>,   a = softmax(s),   z = sum_i a_i x_i,   f = u^T relu(W_V z)

The loss is 1/2 E (f - y)^2. Where it is zero, Tr(H) = E ||grad f||^2 (Lemma D.4). With v = W_V^T (u * 1[W_V z > 0]) and
d = sum_i a_i (v x_i - v z) x_i, each term is known:

    ||df/du||^2 = ||relu(W_V z)||^2          ||df/dW_V||^2 = sum_j u_j^2 1_j ||z||^2
    ||df/dW_Q||^2 = ||W_K d||^2 ||x_1||^2    ||df/dW_K||^2 = ||W_Q x_1||^2 ||d||^2

All functions work on several networks side by side: weights [R, ...] give results [R, ...].
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...models.networks.brackets_attention import BracketsAttention


@dataclass(frozen=True)
class Weights:
    """The weights of R networks with m neurons, float64.

    Args:
        query: W_Q, [R, m, 2 T].
        key: W_K, [R, m, 2 T].
        value: W_V, [R, m, 2 T].
        out: u, [R, m].
    """

    query: Tensor
    key: Tensor
    value: Tensor
    out: Tensor

    def __len__(self) -> int:
        return len(self.out)

    @property
    def parts(self) -> list[Tensor]:
        """The four tensors."""
        return [self.query, self.key, self.value, self.out]

    def one(self, number: int) -> "Weights":
        """One of the networks, as R = 1."""
        return Weights(*(part[number : number + 1] for part in self.parts))

    def neurons(self, kept: Tensor) -> "Weights":
        """The networks with some neurons of the hidden layer alone; attention is not changed.

        Args:
            kept: [m], the same for all networks.

        Returns:
            The networks.
        """
        return Weights(self.query, self.key, self.value[:, kept], self.out[:, kept])


def weights_of(model: BracketsAttention) -> Weights:
    """The weights of a model of the lab, as one network."""
    return Weights(*(part.detach().double()[None] for part in (model.query, model.key, model.value, model.out)))


def attention(weights: Weights, x: Tensor) -> Tensor:
    """a [R, N, T] for sentences x [N, T, 2 T]."""
    asked = torch.einsum("rmd,nd->rnm", weights.query, x[:, 0])
    sought = torch.einsum("rnm,rmd->rnd", asked, weights.key)
    return torch.einsum("rnd,ntd->rnt", sought, x).softmax(-1)


def mixed(weights: Weights, x: Tensor) -> Tensor:
    """z [R, N, 2 T]."""
    return torch.einsum("rnt,ntd->rnd", attention(weights, x), x)


def features(weights: Weights, x: Tensor) -> Tensor:
    """relu(W_V z), [R, N, m]."""
    return (mixed(weights, x) @ weights.value.transpose(1, 2)).relu()


def output(weights: Weights, x: Tensor) -> Tensor:
    """f [R, N]."""
    return torch.einsum("rnm,rm->rn", features(weights, x), weights.out)


def loss(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """1/2 E (f - y)^2 of each network, [R]."""
    return (output(weights, x) - y).square().mean(-1) / 2


@dataclass(frozen=True)
class Trace:
    """E ||grad f||^2 by its terms, each [R]."""

    out: Tensor
    value: Tensor
    query: Tensor
    key: Tensor

    @property
    def total(self) -> Tensor:
        """Tr(H) where the loss is zero, [R]."""
        return self.out + self.value + self.query + self.key


def trace(weights: Weights, x: Tensor) -> Trace:
    """E ||grad f||^2 over the sentences, by the terms of the weights."""
    a = attention(weights, x)
    z = torch.einsum("rnt,ntd->rnd", a, x)
    reached = z @ weights.value.transpose(1, 2)
    active = (reached > 0).to(reached.dtype)
    v = torch.einsum("rnm,rmd->rnd", active * weights.out[:, None], weights.value)
    along = torch.einsum("rnd,ntd->rnt", v, x)
    surplus = a * (along - (a * along).sum(-1, keepdim=True))
    d = torch.einsum("rnt,ntd->rnd", surplus, x)
    asked = torch.einsum("rmd,nd->rnm", weights.query, x[:, 0])
    first = x[:, 0].square().sum(-1)
    return Trace(
        reached.relu().square().sum(-1).mean(-1),
        ((active * weights.out[:, None].square()).sum(-1) * z.square().sum(-1)).mean(-1),
        ((d @ weights.key.transpose(1, 2)).square().sum(-1) * first).mean(-1),
        (asked.square().sum(-1) * d.square().sum(-1)).mean(-1),
    )
