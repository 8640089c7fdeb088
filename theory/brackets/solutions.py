"""Networks that predict every masked bracket: the one of the paper that transfers, and three that do not.

The averaging network has a_i = 1/T and neurons along +-1_[1..T]. Two changes keep its loss at zero and its trace at the
bound 2 / T^(1/2), but not its transfer. Both use the mask, whose coordinate is e_(T + i), always positive:

    dead neurons                w = (any r, -M, ..., -M): silent on every masked sentence, active without a mask
    position-specific neurons   w = (1_[1..T] with any w_p, -M but at the mask's position p): active for one position

Fact D.2 (2) of the paper excludes the first by a symmetry of the sentences that the mask does not have.
"""

import torch
from torch import Tensor

from ...errors import InputError, at_least
from .network import Weights, features
from .sentences import Brackets

FITTED = 1e-10
"""The largest error of a prediction of a network that counts as a solution."""


def averaging(brackets: Brackets, neurons: int = 2, mask: float = 0.0) -> Weights:
    """The solution that transfers: half of the neurons for each sign.

    w_j = +-c_j 1_[1..T] + k c_j 1_[T+1..2T] with c_j = T^(1/2) |u_j| / (1 + k), sum u_j^2 = T^(1/2) for each sign; any
    such split reaches the bound, for any k from -1 to 1. Downstream no mask is there, and k has no say.

    Args:
        brackets: the sentences.
        neurons: m, even.
        mask: k, the weight of the mask's coordinates.

    Returns:
        One network, R = 1.

    Raises:
        InputError: for an odd number of neurons, and for a k out of its bounds.
    """
    if not -1 < mask <= 1:
        raise InputError(f"mask is {mask}, expected a number above -1 and at most 1; correct it")
    length, half = brackets.length, _half(neurons)
    size = length**0.25 / half**0.5
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64).repeat_interleave(half)
    value = torch.zeros(neurons, 2 * length, dtype=torch.float64)
    value[:, :length] = (sign * length**0.5 * size / (1 + mask))[:, None]
    value[:, length:] = mask * length**0.5 * size / (1 + mask)
    none = torch.zeros_like(value)
    return _one(none, none, value, -sign * size)


def with_dead_neurons(weights: Weights, neurons: int, generator: torch.Generator, size: float = 1.0) -> Weights:
    """One network with neurons added that are silent on all masked sentences: w = (r, -M, ..., -M), u = 0.

    Args:
        weights: one network.
        neurons: how many are added.
        generator: of r, normal numbers.
        size: the deviation of r.

    Returns:
        The network.
    """
    length = weights.value.shape[2] // 2
    drawn = size * torch.randn(neurons, length, generator=generator, dtype=torch.float64)
    # At most T - 1 coordinates beside the mask's take part, each with the same attention.
    silent = -(drawn.abs().sum(1, keepdim=True) + 1).expand(-1, length)
    added = torch.cat([drawn, silent], 1)[None]
    nothing = torch.zeros(1, neurons, dtype=torch.float64)
    return Weights(
        weights.query,
        weights.key,
        torch.cat([weights.value, added], 1),
        torch.cat([weights.out, nothing], 1),
    )


def position_specific(brackets: Brackets, generator: torch.Generator, size: float = 1.0) -> Weights:
    """A solution with two neurons for each position p, active only where p is masked; w_p is drawn.

    Args:
        brackets: the sentences.
        generator: of the free coordinates, normal numbers.
        size: their deviation, in units of the other coordinates.

    Returns:
        One network with m = 2 T neurons.
    """
    length = brackets.length
    scale = length**0.75
    own = torch.eye(length, dtype=torch.float64)
    rows, out = [], []
    for sign in (1.0, -1.0):
        free = size * torch.randn(length, generator=generator, dtype=torch.float64)
        words = sign * scale * (1 - own) + scale * torch.diag(free)
        # Where another position is masked, the other words add up to at most T - 2 + |free|.
        silence = -scale * (length + free.abs())[:, None]
        rows.append(torch.cat([words, silence * (1 - own)], 1))
        out.append(torch.full((length,), -sign * length**0.25, dtype=torch.float64))
    value = torch.cat(rows)
    none = torch.zeros_like(value)
    return _one(none, none, value, torch.cat(out))


def random_features(brackets: Brackets, neurons: int, generator: torch.Generator) -> Weights:
    """The solution that memorises: W_V is drawn, a_i = 1/T, and u of least norm predicts all masked brackets.

    The layers are balanced: W_V is multiplied by c and u divided by it, at the least trace.

    Args:
        brackets: the sentences.
        neurons: m.
        generator: of W_V, normal numbers.

    Returns:
        One network.

    Raises:
        InputError: where so many random features cannot predict all masked brackets.
    """
    at_least("neurons", neurons, 2)
    drawn = torch.randn(neurons, 2 * brackets.length, generator=generator, dtype=torch.float64)
    none = torch.zeros_like(drawn)
    plain = _one(none, none, drawn, torch.zeros(neurons, dtype=torch.float64))
    found = features(plain, brackets.masked)[0]
    out = torch.linalg.lstsq(found, brackets.targets, driver="gelsd").solution
    worst = float((found @ out - brackets.targets).abs().max())
    if worst > FITTED:
        raise InputError(
            f"{neurons} random neurons miss a masked bracket of {brackets.length} by {worst:.2g}, expected {FITTED:g}; "
            "take more neurons"
        )
    active = (found > 0).to(found.dtype)
    by_out = found.square().sum(1).mean()
    by_value = (active @ out.square() / brackets.length).mean()
    balance = float(by_value / by_out) ** 0.25
    return _one(none, none, balance * drawn, out / balance)


def _one(query: Tensor, key: Tensor, value: Tensor, out: Tensor) -> Weights:
    return Weights(query[None], key[None], value[None], out[None])


def _half(neurons: int) -> int:
    if neurons < 2 or neurons % 2:
        raise InputError(f"neurons is {neurons}, expected an even number from 2 on; correct it")
    return neurons // 2
