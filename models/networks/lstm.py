"""A bidirectional LSTM masked language model: it reads the mask like any other word, from both sides."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ..interface import MaskedLM, TiedHead


class Lstm(MaskedLM):
    """layers bidirectional LSTM layers with `width` units a direction; a linear map to the tied output.

    Features are the 2 * width states mapped to the embedding's width, so that the head is the same as the encoder's.
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

    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """The embedding [n, T, d], then the states of each layer [n, T, 2 d], both directions side by side.

        No dropout is applied between the layers.
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

    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)
