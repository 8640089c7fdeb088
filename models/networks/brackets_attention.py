"""The network of Liu et al. 2022, section 6: one attention head and one hidden layer on signed positions.

With x_i = +e_i for the first word, -e_i for the second word and e_(T + i) for the mask, in R^(2 T):

    s_i = <W_Q x_1, W_K x_i>,   a = softmax(s),   z = sum_i a_i x_i,   f = u^T relu(W_V z)

The output at the first position is the answer for all positions. The logits are z_1 = f / 2 for the first word and
z_2 = -f / 2 for the second, so the objective `squared`, (z_1 - z_2 - y)^2 / 2, is the paper's loss (f - y)^2 / 2.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ...errors import InputError, at_least
from ..interface import LanguageModel
from .base import Count, Network, networks


class BracketsAttention(LanguageModel):
    """One attention head and m hidden neurons. The features of every position are the m activations.

    The arguments are those of `BracketsNetwork` and of `Network.build`.
    """

    def __init__(self, name: str, vocab_size: int, max_length: int, neurons: int) -> None:
        super().__init__()
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, neurons
        size = 2 * max_length
        self.query, self.key, self.value = (nn.Parameter(torch.empty(neurons, size)) for _ in range(3))
        self.out = nn.Parameter(torch.empty(neurons))

    def encoded(self, tokens: Tensor) -> Tensor:
        """x [n, T, 2 max_length] for tokens [n, T]. Padding is encoded as 0."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        own = F.one_hot(places, self.max_length).to(self.value.dtype)
        sign = (tokens == 0).to(own.dtype) - (tokens == 1).to(own.dtype)
        mask = (tokens == self.mask_id).to(own.dtype)
        return torch.cat([sign[..., None] * own, mask[..., None] * own], 2)

    @override
    def features(self, tokens: Tensor) -> Tensor:
        x = self.encoded(tokens)
        scores = ((x[:, 0] @ self.query.T @ self.key)[:, None] * x).sum(2)
        shares = scores.masked_fill(tokens == self.pad_id, -torch.inf).softmax(1)
        mixed = (shares[:, :, None] * x).sum(1)
        activations: Tensor = (mixed @ self.value.T).relu()
        return activations[:, None].expand(-1, tokens.shape[1], -1)

    @override
    def logits(self, features: Tensor) -> Tensor:
        half = features @ self.out / 2
        return torch.stack([half, -half], -1)


@networks.register("brackets-attention")
@dataclass(frozen=True)
class BracketsNetwork(Network):
    """One attention head and one hidden layer, for languages of two words.

    Args:
        neurons: width m of the hidden layer and of the attention head.
        initial_deviation: standard deviation of the initial weights.
    """

    neurons: int = 24
    initial_deviation: float = 0.5

    def __post_init__(self) -> None:
        at_least("neurons", self.neurons, 1)
        if not 0 < self.initial_deviation < float("inf"):
            raise InputError(f"initial_deviation is {self.initial_deviation}, expected a positive number; correct it")

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        """The model, which has no dropout.

        Args:
            name: the model's name.
            vocab_size: V, which must be 2.
            max_length: T, the number of words in the longest sentence.
            dropout: must be 0.

        Returns:
            The model.

        Raises:
            InputError: for a language that does not have two words, and for dropout.
        """
        if vocab_size != 2:
            raise InputError(
                f"model '{name}' reads +1 and -1, but the language has {vocab_size} words, expected 2; use the "
                "language brackets"
            )
        if dropout:
            raise InputError(f"model '{name}' has no dropout, but dropout is {dropout}; leave it out")
        return BracketsAttention(name, vocab_size, max_length, self.neurons)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        return Count(self.neurons * (6 * max_length + 1), 0)

    @override
    def deviation(self, parameter: str) -> float:
        return self.initial_deviation
