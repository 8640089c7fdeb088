"""Section 6 of Liu et al. 2022: among the networks that predict a masked bracket, does the flattest one transfer?"""

from .network import Weights, attention, features, loss, output, trace, weights_of
from .search import Search, searched
from .sentences import Brackets
from .solutions import averaging, position_specific, random_features, with_dead_neurons
from .transfer import Transfer, few_shot, success_probability

__all__ = [
    "Brackets",
    "Search",
    "Transfer",
    "Weights",
    "attention",
    "averaging",
    "features",
    "few_shot",
    "loss",
    "output",
    "position_specific",
    "random_features",
    "searched",
    "success_probability",
    "trace",
    "weights_of",
    "with_dead_neurons",
]
