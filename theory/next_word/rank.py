"""What a softmax model of d features can reach: the rank of log p*, and the least KL.

log softmax(Phi^T f + b), less its mean over the words, lies in the span of the rows of Phi and of b: a matrix of
contexts has rank at most d + 1, and at most d without a bias or once the mean of its rows is taken off. A model can be
the truth on all contexts only if log p* has such a rank. Otherwise the least KL is above 0; it is computed by
minimising over Phi, b and one f a context, from several starts.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...randomness import random_stream
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


def ranks(truth: Tensor, tolerance: float = 1e-9) -> Ranks:
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
    supports, group, sizes = (truth > 0).unique(dim=0, return_inverse=True, return_counts=True)
    found = Ranks(0, 0)
    for number in sizes.argsort(descending=True).tolist():
        if int(sizes[number]) <= found.with_bias:
            break
        logs = truth[group == number][:, supports[number]].double().log()
        apart = logs - logs.mean(1, keepdim=True)
        least = tolerance * max(float(torch.linalg.matrix_norm(apart, 2)), 1e-300)
        without, with_bias = (
            int((torch.linalg.svdvals(each) > least).sum()) for each in (apart, apart - apart.mean(0))
        )
        found = Ranks(max(found.without_bias, without), max(found.with_bias, with_bias))
    return found


def centred_rank(truth: Tensor, tolerance: float = 1e-9) -> int | None:
    """The rank of log p*, less its mean over the words.

    Args:
        truth: p* [m, C].
        tolerance: singular values below this share of the largest count as 0.

    Returns:
        The rank; None where a probability is 0, so that no finite logits are the truth.
    """
    if not bool((truth > 0).all()):
        return None
    logs = truth.double().log()
    values = torch.linalg.svdvals(logs - logs.mean(1, keepdim=True))
    return int((values > tolerance * max(float(values[0]), 1e-300)).sum())


@dataclass(frozen=True)
class LeastKL:
    """The smallest mean KL that was found.

    Args:
        value: nats.
        log_p: log-probabilities of the model that attains it [m, C].
    """

    value: float
    log_p: Tensor


def least_kl(
    truth: Tensor,
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
    truth, w = truth.double(), (weights / weights.sum()).double()
    begins = [] if start is None else [tuple(part.double() for part in start)]
    generator = random_stream(seed, "theory", 3)
    logs = truth.clamp(min=1e-6).log()
    bias = (w[:, None] * logs).sum(0)
    left, values, right = torch.linalg.svd(logs - bias, full_matrices=False)
    kept = min(d, len(values))
    f = torch.zeros(len(truth), d, dtype=torch.float64)
    phi = torch.zeros(d, truth.shape[1], dtype=torch.float64)
    f[:, :kept], phi[:kept] = left[:, :kept] * values[:kept].sqrt(), values[:kept, None].sqrt() * right[:kept]
    # A truncated singular value decomposition of log p* is the first start, the others are noise around it.
    begins.append((f, phi, bias))
    for _ in range(starts):
        noise = (torch.randn(part.shape, generator=generator, dtype=torch.float64) for part in (f, phi, bias))
        begins.append(tuple(part + 0.1 * one for part, one in zip((f, phi, bias), noise, strict=True)))
    found = [_descend(truth, w, begin, iterations) for begin in begins]
    return min(found, key=lambda one: one.value)


def _descend(truth: Tensor, weights: Tensor, begin: tuple[Tensor, ...], iterations: int) -> LeastKL:
    f, phi, bias = (part.clone().requires_grad_() for part in begin)
    optimizer = torch.optim.LBFGS(
        [f, phi, bias], max_iter=iterations, tolerance_grad=1e-10, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = -(weights @ (truth * (f @ phi + bias).log_softmax(1)).sum(1))
        loss.backward()
        return loss

    def at(parts: tuple[Tensor, ...]) -> LeastKL:
        log_p = (parts[0] @ parts[1] + parts[2]).log_softmax(1).detach()
        return LeastKL(float(weights @ kl(truth, log_p)), log_p)

    first = at(begin)
    optimizer.step(closure)
    last = at((f, phi, bias))
    return last if last.value <= first.value else first
