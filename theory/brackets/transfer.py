"""Few-shot transfer: from n sentences of independent brackets, a head on frozen features predicts the mismatches g.

The head is the minimiser of least norm of the squared loss on the n sentences. On the averaging network's features it
is exact as soon as both signs of g have been seen, which n draws do with probability

    1 - 2 ((1 + P_0) / 2)^n + P_0^n,      P_0 = C(T, T/2) / 2^T = P(g = 0)

With one sign alone it misses the other half of E g^2, with none all of it: E (head - g)^2 / T = ((1 + P_0) / 2)^n.
"""

import math
from dataclasses import dataclass

import torch

from ...errors import at_least
from ...estimate import Estimate
from .network import Weights, features
from .sentences import Brackets

EXACT = 1e-3
"""The mean squared error, per position, of a head that counts as exact."""

RESOLVED = 1e-3
"""Singular values of the features below this share of the largest count as zero: searched weights are that exact."""


@dataclass(frozen=True)
class Transfer:
    """What few-shot heads reach.

    Args:
        error: E (head - g)^2 / T over all sentences, 1 for a head that says 0; mean over draws of n sentences.
        success: share of the draws whose head is exact.
    """

    error: Estimate
    success: Estimate


def success_probability(length: int, sentences: int) -> float:
    """The probability that both signs of g occur among n sentences.

    Args:
        length: T.
        sentences: n.

    Returns:
        1 - 2 ((1 + P_0) / 2)^n + P_0^n.
    """
    none: float = math.comb(length, length // 2) / 2**length
    return 1 - 2 * ((1 + none) / 2) ** sentences + none**sentences


def expected_error(length: int, sentences: int) -> float:
    """The mean over n sentences of E (head - g)^2 / T on the averaging network's features.

    Args:
        length: T.
        sentences: n.

    Returns:
        ((1 + P_0) / 2)^n.
    """
    none: float = math.comb(length, length // 2) / 2**length
    return ((1 + none) / 2) ** sentences


def few_shot(weights: Weights, brackets: Brackets, sentences: int, draws: int, generator: torch.Generator) -> Transfer:
    """Heads of least norm on one network's features, each from its own n sentences.

    Args:
        weights: one network.
        brackets: the sentences.
        sentences: n.
        draws: how often n sentences are drawn.
        generator: the source of the draws.

    Returns:
        The error and the share of exact heads.
    """
    at_least("sentences", sentences, 1)
    at_least("draws", draws, 2)
    known, goal = features(weights, brackets.downstream)[0], brackets.mismatches
    chosen = torch.randint(len(goal), (draws, sentences), generator=generator)
    heads = torch.linalg.pinv(known[chosen], rtol=RESOLVED) @ goal[chosen][:, :, None]
    missed = (known @ heads)[:, :, 0] - goal
    errors = missed.square().mean(1) / brackets.length
    return Transfer(Estimate.from_samples(errors), Estimate.from_samples((errors < EXACT).double()))
