"""Section 6 of Liu et al. 2022: among the networks that predict a masked bracket, does the flattest one transfer?"""

from .label_noise import LabelNoise, by_label_noise
from .network import Weights, attention, features, loss, output, trace, weights_of
from .neurons import Neurons, neurons_of
from .search import Penalty, by_penalty
from .sentences import Brackets
from .solutions import averaging, position_specific, random_features, with_dead_neurons
from .transfer import Transfer, expected_error, few_shot, success_probability

__all__ = [
    "Brackets",
    "LabelNoise",
    "Neurons",
    "Penalty",
    "Transfer",
    "Weights",
    "attention",
    "averaging",
    "by_label_noise",
    "by_penalty",
    "expected_error",
    "features",
    "few_shot",
    "loss",
    "neurons_of",
    "output",
    "position_specific",
    "random_features",
    "success_probability",
    "trace",
    "weights_of",
    "with_dead_neurons",
]
