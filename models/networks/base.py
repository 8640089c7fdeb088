"""The base classes of networks: settings that build a model and count its parameters, registered by kind.

A network is one file: a torch module, and a frozen dataclass of its settings, registered under its kind. The kind is
the first part of the model's name, as in "bert-2x64". See docs/extending.md.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Self

import torch
from torch import nn

from ...errors import InputError, at_least
from ...generators import Language
from ...registry import Registry
from ..interface import LanguageModel

INITIAL_DEVIATION = 0.02
"""The default standard deviation of the initial weights (Devlin et al. 2019)."""


@dataclass(frozen=True)
class Count:
    """Numbers of parameters. Each tied weight counts once.

    Args:
        total: the number of all parameters.
        embeddings: the number in the embeddings of words, including special tokens, and of positions.
    """

    total: int
    embeddings: int

    @property
    def without_embeddings(self) -> int:
        """The number of parameters outside the embeddings."""
        return self.total - self.embeddings


class Network(ABC):
    """A kind of network with its settings.

    Subclasses are frozen dataclasses that check their fields on construction.
    """

    causal: ClassVar[bool] = False
    """Whether the model predicts the next word; other models predict hidden words."""

    widens: ClassVar[bool] = False
    """Whether `satlab.models.widen` can make the model wider by repeating its features."""

    deepens: ClassVar[bool] = False
    """Whether a layer with output zero leaves the function unchanged, so that `widen` can add layers."""

    @abstractmethod
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        """The model, with the weights that torch initialises.

        Args:
            name: the model's name, which becomes its attribute `name`.
            vocab_size: V, the number of words.
            max_length: T, the number of words in the longest sentence.
            dropout: the probability of dropping an activation in training.
        """

    @abstractmethod
    def count(self, vocab_size: int, max_length: int) -> Count:
        """The model's number of parameters, from a formula, without building the model."""

    def build_for(self, name: str, language: Language, dropout: float) -> LanguageModel:
        """The model for a language. It differs from `build` only if the model needs the language itself."""
        return self.build(name, language.vocab_size, language.max_length, dropout)

    def initialise(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draws the initial weights, in the order of the parameters.

        Biases are 0; the weights of norms are 1. LSTM matrices are uniform on (-b, b) with b = fan_in^-1/2. All other
        weights are normal with mean 0 and standard deviation `deviation(name)`.

        Args:
            model: the model, which is filled in place.
            generator: the source of random numbers.
        """
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "norm" in name:
                    parameter.fill_(1.0 if name.endswith("weight") else 0.0)
                elif "bias" in name:
                    parameter.zero_()
                elif "lstm" in name:
                    bound = parameter.shape[1] ** -0.5
                    parameter.uniform_(-bound, bound, generator=generator)
                else:
                    parameter.normal_(0.0, self.deviation(name), generator=generator)

    def deviation(self, parameter: str) -> float:
        """The initial standard deviation of the weight with this name."""
        return INITIAL_DEVIATION


@dataclass(frozen=True)
class SizedNetwork(Network):
    """A network whose name contains its size: KIND-LAYERSxWIDTH, as in "bert-2x64".

    Args:
        layers: number of layers.
        width: number of features of a position, d.
    """

    layers: int
    width: int

    def __post_init__(self) -> None:
        at_least("layers", self.layers, 1)
        at_least("width", self.width, 1)

    def resized(self, layers: int, width: int) -> Self:
        """The same network with another size. Raises InputError if a setting does not allow that size."""
        return replace(self, layers=layers, width=width)


networks: Registry[Network] = Registry("model", "satlab.models.networks")
"""kind -> network."""


def check_deviation(deviation: float) -> None:
    """Raises InputError unless the initial deviation is a positive number."""
    if not 0 < deviation < float("inf"):
        raise InputError(f"initial_deviation is {deviation}, expected a positive number; correct it")
