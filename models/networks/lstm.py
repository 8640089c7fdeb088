"""A bidirectional LSTM as a masked language model. It reads the mask like any other word, in both directions."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from typing_extensions import override

from ...generators.vocabulary import SPECIAL_TOKENS
from ..interface import LanguageModel, TiedHead
from .base import INITIAL_DEVIATION, Count, SizedNetwork, check_deviation, networks


class Lstm(LanguageModel):
    """Bidirectional LSTM layers with `width` units per direction, then a linear map to the tied output.

    The linear map takes the 2 * width states of a position to the width of the embedding, so the head is the same as
    in the encoders.

    The arguments are those of `RecurrentNetwork` and of `Network.build`.
    """

    per_example_gradients = False

    def __init__(
        self, name: str, vocab_size: int, max_length: int, layers: int, width: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, width
        self.words = TiedHead(vocab_size, width)
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(width, width, layers, batch_first=True, bidirectional=True, dropout=between)
        self.join = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    @override
    def features(self, tokens: Tensor) -> Tensor:
        lengths = (tokens != self.pad_id).sum(1)
        x = self.dropout(self.words.read(tokens))
        if bool((lengths == tokens.shape[1]).all()):
            states, _ = self.lstm(x)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.shape[1])
        joined: Tensor = self.join(states)
        return joined

    @override
    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """The embedding, then the states of each layer, with both directions concatenated, without dropout.

        Args:
            tokens: [n, T].

        Returns:
            The embedding [n, T, d], and the states [n, T, 2 d] of each layer.
        """
        lengths = (tokens != self.pad_id).sum(1).cpu()
        found: list[Tensor] = [self.words.read(tokens)]
        packed = pack_padded_sequence(found[0], lengths, batch_first=True, enforce_sorted=False)
        for layer in range(self.lstm.num_layers):
            weights: list[Tensor] = [
                w for direction in self.lstm.all_weights[2 * layer : 2 * layer + 2] for w in direction
            ]
            start = packed.data.new_zeros(2, len(tokens), self.lstm.hidden_size)
            states = torch.lstm(
                packed.data, packed.batch_sizes, (start, start), weights, True, 1, 0.0, False, True
            )[0]  # fmt: skip
            packed = packed._replace(data=states)
            found.append(pad_packed_sequence(packed, batch_first=True, total_length=tokens.shape[1])[0])
        return found

    @override
    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)


@dataclass(frozen=True)
class RecurrentNetwork(SizedNetwork):
    """A network of LSTM layers with tied word embeddings and no positions.

    Args:
        layers: number of layers.
        width: number of units per direction, and of features of a position, d.
        initial_deviation: standard deviation of the initial word embeddings. LSTM matrices start uniform on (-b, b)
            with b = d^(-1/2), or b = (2 d)^(-1/2) for matrices that read both directions. The linear map after them
            starts normal with standard deviation 0.02.
    """

    initial_deviation: float = INITIAL_DEVIATION

    widens = True

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        check_deviation(self.initial_deviation)

    @override
    def deviation(self, parameter: str) -> float:
        embedding = LanguageModel.parameter_block(parameter) == "embedding"
        return self.initial_deviation if embedding else INITIAL_DEVIATION


@networks.register("lstm")
@dataclass(frozen=True)
class LstmNetwork(RecurrentNetwork):
    """The plain bidirectional LSTM, with the settings of `RecurrentNetwork`."""

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        return Lstm(name, vocab_size, max_length, self.layers, self.width, dropout)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        """(V + 3) d embeddings, V output biases, 8 (3 L - 1) d^2 + 16 L d in layers, 2 d^2 + d in the linear map."""
        d = self.width
        embeddings = (vocab_size + SPECIAL_TOKENS) * d
        inside = 16 * (d * d + d) + (self.layers - 1) * (24 * d * d + 16 * d) + 2 * d * d + d
        return Count(embeddings + vocab_size + inside, embeddings)
