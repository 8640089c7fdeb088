"""A pre-LN residual stack of bidirectional LSTM layers, as in the released code of Liu et al. (2022).

x_0 = embedding,    x_l = x_(l-1) + Linear(BiLSTM(LN x_(l-1))),    features = LN x_L
"""

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from typing_extensions import override

from ...generators.vocabulary import SPECIAL_TOKENS
from ..interface import LanguageModel, TiedHead
from .base import Count, networks
from .lstm import RecurrentNetwork


class Layer(nn.Module):
    """x + Linear(BiLSTM(LN x)): `width` units per direction, whose 2 * width states are mapped back to the width."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.join = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, sentences: PackedSequence | None = None) -> Tensor:
        """Applies the layer to x [n, T, d], or to the packed words [words, d] of sentences with several lengths.

        Args:
            x: features [n, T, d], or [words, d].
            sentences: how the words are packed; None if x is [n, T, d].

        Returns:
            The layer's output, with the shape of x.
        """
        read = self.norm(x)
        states = self.lstm(read)[0] if sentences is None else self.lstm(sentences._replace(data=read))[0].data
        out: Tensor = x + self.dropout(self.join(states))
        return out


class ResidualLstm(LanguageModel):
    """Residual layers, a final LayerNorm, and the tied output.

    The arguments are those of `RecurrentNetwork` and of `Network.build`.
    """

    per_example_gradients = False

    def __init__(
        self, name: str, vocab_size: int, max_length: int, layers: int, width: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, width
        self.words = TiedHead(vocab_size, width)
        self.layers = nn.ModuleList(Layer(width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    @override
    def features(self, tokens: Tensor) -> Tensor:
        lengths = (tokens != self.pad_id).sum(1)
        x = self.dropout(self.words.read(tokens))
        if bool((lengths == tokens.shape[1]).all()):
            return self._through(x)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        words = packed._replace(data=self._through(packed.data, packed))
        return pad_packed_sequence(words, batch_first=True, total_length=tokens.shape[1])[0]

    @override
    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """x_0 .. x_L, [n, T, d] each, before the last norm."""
        lengths = (tokens != self.pad_id).sum(1).cpu()
        found = [self.dropout(self.words.read(tokens))]
        packed = pack_padded_sequence(found[0], lengths, batch_first=True, enforce_sorted=False)
        for layer in self.layers:
            packed = packed._replace(data=layer(packed.data, packed))
            found.append(pad_packed_sequence(packed, batch_first=True, total_length=tokens.shape[1])[0])
        return found

    def _through(self, x: Tensor, sentences: PackedSequence | None = None) -> Tensor:
        for layer in self.layers:
            x = layer(x, sentences)
        out: Tensor = self.norm(x)
        return out

    @override
    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)


@networks.register("lstm-residual")
@dataclass(frozen=True)
class ResidualLstmNetwork(RecurrentNetwork):
    """The residual stack of bidirectional LSTMs, with the settings of `RecurrentNetwork`."""

    deepens = True

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        return ResidualLstm(name, vocab_size, max_length, self.layers, self.width, dropout)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        """(V + 3) d embeddings, V output biases, L (18 d^2 + 19 d) in layers (norm, LSTM, map), 2 d in a last norm."""
        d = self.width
        embeddings = (vocab_size + SPECIAL_TOKENS) * d
        return Count(embeddings + vocab_size + self.layers * (18 * d * d + 19 * d) + 2 * d, embeddings)
