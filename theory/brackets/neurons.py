"""What the neurons of a network do: which take part in the prediction, which average, which know one position alone."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .network import Weights, features
from .sentences import Brackets
from .transfer import RESOLVED

ALIVE = 1e-3
"""A neuron is alive whose part |u_j| relu(w_j z) of the output is somewhere above this, on masked sentences."""

ALONG = 0.99
"""A neuron is an averaging one if the cosine of its first T coordinates with +-1_[1..T] is above this."""


@dataclass(frozen=True)
class Neurons:
    """Which neurons of a network are what, each [m].

    Args:
        alive: takes part in the prediction of some masked bracket.
        averaging: alive, and its weights of the words lie along +-1_[1..T].
        position_specific: alive, and only where one position is masked.
        dead: not alive, and active without a mask: above a thousandth of the largest feature.
    """

    alive: Tensor
    averaging: Tensor
    position_specific: Tensor
    dead: Tensor


def neurons_of(weights: Weights, brackets: Brackets) -> Neurons:
    """What the neurons of one network are.

    Args:
        weights: one network.
        brackets: the sentences.

    Returns:
        A mask for each kind.
    """
    active = features(weights, brackets.masked)[0] * weights.out[0].abs() > ALIVE
    alive = active.any(0)
    words = weights.value[0, :, : brackets.length]
    along = words.sum(1).abs() > ALONG * math.sqrt(brackets.length) * words.norm(dim=1)
    # Of each sentence every position is masked in turn.
    where = active.view(-1, brackets.length, active.shape[1]).any(0).sum(0)
    heard = features(weights, brackets.downstream)[0].max(0).values
    loud = heard > RESOLVED * torch.as_tensor(heard.max())
    return Neurons(alive, alive & along, alive & (where == 1), ~alive & loud)
