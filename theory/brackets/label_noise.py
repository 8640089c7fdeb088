"""The search by label noise: SGD at a constant step on y + normal noise.

With H = E grad f grad f^T the gradient's covariance is noise^2 H / B where the loss is zero, so that SGD moves along
the minimum as d theta / dt = -1/4 grad Tr(H) in the clock t = eta^2 noise^2 k / B (Blanc et al. 2020; Damian, Ma and
Lee 2021). Without noise on the labels SGD stands still there: y is a function of x, so that the squared loss has no
noise of its own at loss zero.

A step is too small to be worth tensors: arrays of numpy take a fifth of the time.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import InputError, at_least
from .network import Weights
from .search import Start, not_negative, positive
from .sentences import Brackets

Array = NDArray[Any]

QUIET = 0.25
"""The last share of the steps, without noise and decay, to end at loss zero."""

AT_ONCE = 1000
"""Steps whose draws are made at once."""


@dataclass(frozen=True)
class LabelNoise(Start):
    """SGD at a constant step on (f - y - noise)^2 / 2 + lambda' / 2 ||theta||^2.

    The last quarter of the steps is without noise and decay.

    Args:
        neurons: m.
        networks: R, searched side by side from weights of their own.
        deviation: of the first weights.
        steps: k, the quiet ones included.
        lr: eta.
        batch: B, sentences of a step.
        noise: deviation of the noise on y.
        weight_decay: lambda'.
    """

    deviation: float = 0.3
    steps: int = 40_000
    lr: float = 0.1
    batch: int = 1
    noise: float = 1.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch"):
            at_least(name, getattr(self, name), 1)
        positive(self, "lr", "noise")
        not_negative(self, "weight_decay")

    @property
    def noisy_steps(self) -> int:
        """Steps with noise and decay."""
        return round((1 - QUIET) * self.steps)

    @property
    def clock(self) -> float:
        """t = eta^2 noise^2 k / B of the noisy steps."""
        return (self.lr * self.noise) ** 2 * self.noisy_steps / self.batch


def by_label_noise(brackets: Brackets, search: LabelNoise, generator: torch.Generator) -> Weights:
    """The networks that SGD on noisy labels leads to, each by sentences and noise of its own.

    Args:
        brackets: the sentences.
        search: how.
        generator: of the first weights, the sentences and the noise.

    Returns:
        R networks.

    Raises:
        InputError: where a weight is no longer finite.
    """
    weights = search.drawn(brackets, generator)
    parts = [part.numpy() for part in weights.parts]
    words, targets = brackets.masked.sum(1).numpy(), brackets.targets.numpy()
    for begin in range(0, search.steps, AT_ONCE):
        shape = (min(AT_ONCE, search.steps - begin), search.networks, search.batch)
        chosen = torch.randint(len(targets), shape, generator=generator).numpy()
        noise = search.noise * torch.randn(shape, generator=generator, dtype=torch.float64).numpy()
        for offset in range(shape[0]):
            noisy = begin + offset < search.noisy_steps
            here = chosen[offset]
            wanted = targets[here] + noise[offset] if noisy else targets[here]
            with np.errstate(over="ignore", invalid="ignore"):
                slope = _gradient(parts, words[here], wanted)
            for part, change in zip(parts, slope, strict=True):
                if noisy and search.weight_decay:
                    part *= 1 - search.lr * search.weight_decay
                part -= search.lr * change
        if not all(bool(np.isfinite(part).all()) for part in parts):
            raise InputError(f"SGD at lr {search.lr:g} and noise {search.noise:g} left all bounds; give a smaller lr")
    return weights


def _gradient(parts: list[Array], words: Array, wanted: Array) -> list[Array]:
    """The gradient of the mean of (f - wanted)^2 / 2, by the derivatives of f in network.py.

    Args:
        parts: the weights of R networks.
        words: sum_i x_i of the sentences of a step, [R, B, 2 T].
        wanted: [R, B].

    Returns:
        Arrays with the shapes of the weights.
    """
    query, key, value, out = parts
    length = words.shape[-1] // 2
    first = words[..., ::length]  # x_1 has the coordinates 0 and T
    asked = first @ query[..., ::length].swapaxes(1, 2)
    scores = _by_position(words * (asked @ key))
    a = np.exp(scores - scores.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)
    z = words * np.concatenate([a, a], -1)
    reached = z @ value.swapaxes(1, 2)
    active = reached > 0
    found = active * reached
    by_output = ((found @ out[..., None])[..., 0] - wanted) / words.shape[1]
    heads = active * out[:, None]
    along = _by_position(words * (heads @ value))
    surplus = a * (along - (a * along).sum(-1, keepdims=True))
    d = words * np.concatenate([surplus, surplus], -1) * by_output[..., None]
    by_query = np.zeros_like(query)
    by_query[..., ::length] = (d @ key.swapaxes(1, 2)).swapaxes(1, 2) @ first
    return [
        by_query,
        asked.swapaxes(1, 2) @ d,
        (heads * by_output[..., None]).swapaxes(1, 2) @ z,
        (by_output[:, None] @ found)[:, 0],
    ]


def _by_position(products: Array) -> Array:
    """Sums over the two coordinates of each position: [..., 2 T] -> [..., T]."""
    length = products.shape[-1] // 2
    return products[..., :length] + products[..., length:]
