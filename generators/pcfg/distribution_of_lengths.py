"""The distribution of the lengths of a grammar's sentences."""

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import InputError


def length_log_prob(log_mass: Tensor, lengths: Mapping[int, float] | None) -> Tensor:
    """log p(T = length): the grammar's own distribution, or one that is proportional to given weights.

    Args:
        log_mass: log P(the start symbol yields T words), [max_length + 1].
        lengths: length -> weight; None keeps the grammar's own distribution.

    Returns:
        [max_length + 1]; -inf for a length that no sentence has.

    Raises:
        InputError: for a length that no sentence has, a weight that is negative or not finite, or only weights of 0.
    """
    if lengths is None:
        return log_mass - log_mass.logsumexp(0)
    if not lengths:
        raise InputError(
            "lengths is empty, expected length: weight for at least one length; add one, or leave lengths out"
        )
    weights = torch.zeros_like(log_mass)
    for length, weight in lengths.items():
        if not 1 <= length < len(log_mass) or log_mass[length] == -torch.inf:
            possible = (log_mass > -torch.inf).nonzero()[:, 0].tolist()
            raise InputError(f"lengths: no sentence has {length} words, expected some of {possible}; correct it")
        if not 0 <= weight < torch.inf:
            raise InputError(f"lengths: the weight of {length} is {weight}, expected a number >= 0; correct it")
        weights[length] = weight
    if not weights.max() > 0:
        raise InputError("lengths: every weight is 0, expected at least one positive weight; correct them")
    weights = weights / weights.max()
    return (weights / weights.sum()).log()
