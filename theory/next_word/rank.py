"""What a softmax model of d features can reach: the rank of log p*, and the least KL.

log softmax(Phi^T f + b), less its mean over the words, lies in the span of the rows of Phi and of b: a matrix of
contexts has rank at most d + 1, and at most d without a bias or once the mean of its rows is taken off. A model can be
the truth on all contexts only if log p* has such a rank. Otherwise the least KL is above 0; it is computed by
minimising over Phi, b and one f a context, from several starts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ...randomness import random_stream
from .rows import Table, each, parts, total, triangle
from .softmax import kl

ITERATIONS = 400


@dataclass(frozen=True)
class Ranks:
    """How many features a softmax model needs to be the truth on all contexts.

    Args:
        without_bias: the rank of log p*, less its mean over the words: d without a bias.
        with_bias: the same less its mean over the contexts too: d where the head has a bias.
    """

    without_bias: int
    with_bias: int


def ranks(truth: Table, tolerance: float = 1e-9) -> Ranks:
    """The ranks of log p*. That of some of the contexts is at most that of all.

    Contexts after which the same words are possible are taken together, and the largest rank of these groups counts:
    a model comes arbitrarily near to the truth only if it does so within each group, among the words possible there,
    and the limit of matrices of rank d has at most rank d.

    Args:
        truth: p* [m, C].
        tolerance: singular values below this share of the largest count as 0.

    Returns:
        The ranks.
    """
    possible = each(lambda some: some > 0, truth)
    supports, group, sizes = possible.unique(dim=0, return_inverse=True, return_counts=True)
    found = Ranks(0, 0)
    for number in sizes.argsort(descending=True).tolist():
        if int(sizes[number]) <= found.with_bias:
            break
        within = _ranks_within(partial(_apart, number, supports[number]), truth, group, tolerance)
        found = Ranks(max(found.without_bias, within.without_bias), max(found.with_bias, within.with_bias))
    return found


def _ranks_within(apart: Callable[[Tensor, Tensor], Tensor], truth: Table, group: Tensor, tolerance: float) -> Ranks:
    """The ranks of the rows that `apart` makes, and of the same less their mean."""
    rows = total(lambda *some: torch.tensor(len(apart(*some))), truth, group)
    mean = total(lambda *some: apart(*some).sum(0), truth, group) / rows
    own = torch.linalg.svdvals(triangle(apart, truth, group))
    centred = torch.linalg.svdvals(triangle(lambda *some: apart(*some) - mean, truth, group))
    least = tolerance * max(float(own.max()), 1e-300)
    return Ranks(int((own > least).sum()), int((centred > least).sum()))


def _apart(number: int, support: Tensor, truth: Tensor, group: Tensor) -> Tensor:
    """log p* of the contexts of one group among its words, less its mean over them."""
    logs = truth[group == number][:, support].double().log()
    return logs - logs.mean(1, keepdim=True)


@dataclass(frozen=True)
class LeastKL:
    """The smallest mean KL that was found.

    Args:
        value: nats.
        each: the KL of each context to the model that attains it [m], nats.
    """

    value: float
    each: Tensor


def least_kl(
    truth: Table,
    weights: Tensor,
    d: int,
    start: tuple[Tensor, Tensor, Tensor] | None = None,
    starts: int = 2,
    seed: int = 0,
    iterations: int = ITERATIONS,
) -> LeastKL:
    """min over Phi [d, C], b [C] and f [m, d] of E KL(p* || softmax(Phi^T f + b)), by L-BFGS.

    The problem is not convex: what is found is an upper bound of the infimum, at most the value at the given start.

    Args:
        truth: p* [m, C].
        weights: of the contexts [m].
        d: the number of features.
        start: (f, Phi, b) of a model.
        starts: random starts besides.
        seed: of the random starts.
        iterations: of L-BFGS from each start.

    Returns:
        The best of all starts.
    """
    w = (weights / weights.sum()).double()
    begins = [] if start is None else [tuple(part.double() for part in start)]
    generator = random_stream(seed, "theory", 3)
    bias = total(lambda some, by: by @ _logs(some), truth, w)
    _, values, right = torch.linalg.svd(triangle(lambda some: _logs(some) - bias, truth), full_matrices=False)
    kept = int((values[:d] > 0).sum())
    f = torch.zeros(len(truth), d, dtype=torch.float64)
    phi = torch.zeros(d, truth.shape[1], dtype=torch.float64)
    right, root = right[:kept], values[:kept].sqrt()
    f[:, :kept] = each(lambda some: (_logs(some) - bias) @ (right.T / root), truth)
    phi[:kept] = root[:, None] * right
    # A truncated singular value decomposition of log p* is the first start, the others are noise around it.
    begins.append((f, phi, bias))
    for _ in range(starts):
        noise = (torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in (f, phi, bias))
        begins.append(tuple(part + 0.1 * one for part, one in zip((f, phi, bias), noise, strict=True)))
    found = [_descend(truth, w, begin, iterations) for begin in begins]
    return min(found, key=lambda one: one.value)


def _logs(truth: Tensor) -> Tensor:
    return truth.double().clamp(min=1e-6).log()


def _descend(truth: Table, weights: Tensor, begin: tuple[Tensor, ...], iterations: int) -> LeastKL:
    f, phi, bias = (part.clone().requires_grad_() for part in begin)
    optimizer = torch.optim.LBFGS(
        [f, phi, bias], max_iter=iterations, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        sum_of = torch.zeros((), dtype=torch.float64)
        for some, features, by in parts(truth, f, weights):
            loss = -(by @ (some.double() * (features @ phi + bias).log_softmax(1)).sum(1))
            loss.backward()
            sum_of = sum_of + loss.detach()
        return sum_of

    @torch.no_grad()
    def at(given: tuple[Tensor, ...]) -> LeastKL:
        apart = each(lambda some, features: kl(some, (features @ given[1] + given[2]).log_softmax(1)), truth, given[0])
        return LeastKL(float(weights @ apart), apart)

    first = at(begin)
    optimizer.step(closure)
    last = at((f, phi, bias))
    return last if last.value <= first.value else first
