"""The network of section 6: one attention head and one hidden layer. Its output at the first position is the answer.

    s_i = <W_Q x_1, W_K x_i>,   a = softmax(s),   z = sum_i a_i x_i,   f = u^T relu(W_V z)

The loss is 1/2 E (f - y)^2. Where it is zero, Tr(H) = E ||grad f||^2 (Lemma D.4). With v = W_V^T (u * 1[W_V z > 0]) and
d = sum_i a_i (v x_i - v z) x_i, each term is known:

    ||df/du||^2 = ||relu(W_V z)||^2          ||df/dW_V||^2 = sum_j u_j^2 1_j ||z||^2
    ||df/dW_Q||^2 = ||W_K d||^2 ||x_1||^2    ||df/dW_K||^2 = ||W_Q x_1||^2 ||d||^2

All functions work on several networks side by side: weights [R, ...] give results [R, ...]. Sentences x are
[N, T, 2 T]. The vector x_i has no other coordinates than i and T + i, so that a sentence is the sum of its x_i, [2 T],
and a_i multiplies two numbers.
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


@dataclass(frozen=True)
class Pass:
    """What N sentences become in R networks.

    Args:
        words: sum_i x_i, [N, 2 T].
        asked: W_Q x_1, [R, N, m].
        attention: a, [R, N, T].
        mixed: z, [R, N, 2 T].
        reached: W_V z, [R, N, m].
        output: f, [R, N].
    """

    words: Tensor
    asked: Tensor
    attention: Tensor
    mixed: Tensor
    reached: Tensor
    output: Tensor

    def loss(self, y: Tensor) -> Tensor:
        """1/2 E (f - y)^2 of each network, [R]."""
        return (self.output - y).square().mean(-1) / 2


def forward(weights: Weights, x: Tensor) -> Pass:
    """The way of the sentences through the networks.

    Args:
        weights: R networks.
        x: N sentences.

    Returns:
        All that is on the way.
    """
    words = x.sum(1)
    first = _first(words)
    asked = words[..., first] @ weights.query[..., first].transpose(1, 2)
    a = _by_position(words * (asked @ weights.key)).softmax(-1)
    z = words * torch.cat([a, a], -1)
    reached = z @ weights.value.transpose(1, 2)
    return Pass(words, asked, a, z, reached, (reached.relu() @ weights.out[..., None])[..., 0])


def _first(words: Tensor) -> list[int]:
    """The coordinates of x_1."""
    return [0, words.shape[-1] // 2]


def _by_position(products: Tensor) -> Tensor:
    """Sums over the two coordinates of each position: [..., 2 T] -> [..., T]."""
    length = products.shape[-1] // 2
    return products[..., :length] + products[..., length:]


def attention(weights: Weights, x: Tensor) -> Tensor:
    """a [R, N, T]."""
    return forward(weights, x).attention


def features(weights: Weights, x: Tensor) -> Tensor:
    """relu(W_V z), [R, N, m]."""
    return forward(weights, x).reached.relu()


def output(weights: Weights, x: Tensor) -> Tensor:
    """f [R, N]."""
    return forward(weights, x).output


def loss(weights: Weights, x: Tensor, y: Tensor) -> Tensor:
    """1/2 E (f - y)^2 of each network, [R]."""
    return forward(weights, x).loss(y)


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
    return trace_of(weights, forward(weights, x))


def trace_of(weights: Weights, on_way: Pass) -> Trace:
    """E ||grad f||^2 over the sentences of a pass, by the terms of the weights."""
    active, d = _active(on_way), _by_scores(weights, on_way)
    first = on_way.words[..., _first(on_way.words)].square().sum(-1)
    return Trace(
        on_way.reached.relu().square().sum(-1).mean(-1),
        ((active @ weights.out.square()[..., None])[..., 0] * on_way.mixed.square().sum(-1)).mean(-1),
        ((d @ weights.key.transpose(1, 2)).square().sum(-1) * first).mean(-1),
        (on_way.asked.square().sum(-1) * d.square().sum(-1)).mean(-1),
    )


def _active(on_way: Pass) -> Tensor:
    """1[W_V z > 0], [R, N, m]."""
    return (on_way.reached > 0).to(on_way.reached.dtype)


def _by_scores(weights: Weights, on_way: Pass) -> Tensor:
    """d = sum_i a_i (v x_i - v z) x_i, [R, N, 2 T]."""
    v = (_active(on_way) * weights.out[:, None]) @ weights.value
    along, a = _by_position(v * on_way.words), on_way.attention
    surplus = a * (along - (a * along).sum(-1, keepdim=True))
    return torch.cat([surplus, surplus], -1) * on_way.words
