"""A pre-LN residual stack of bidirectional LSTM layers, the LSTM of the code that Liu et al. (2022) released.

x_0 = embedding,    x_l = x_(l-1) + Linear(BiLSTM(LN x_(l-1))),    features = LN x_L
"""

from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..interface import MaskedLM, TiedHead


class Layer(nn.Module):
    """x + Linear(BiLSTM(LN x)): `width` units a direction, their 2 * width states mapped back to width."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.lstm = nn.LSTM(width, width, batch_first=True, bidirectional=True)
        self.join = nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, sentences: PackedSequence | None = None) -> Tensor:
        """[n, T, d] -> [n, T, d]; or, of sentences of several lengths, the words alone, as they are packed."""
        read = self.norm(x)
        states = self.lstm(read)[0] if sentences is None else self.lstm(sentences._replace(data=read))[0].data
        out: Tensor = x + self.dropout(self.join(states))
        return out


class ResidualLstm(MaskedLM):
    """layers residual layers of the given width, a final LN, tied output."""

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

    def features(self, tokens: Tensor) -> Tensor:
        lengths = (tokens != self.pad_id).sum(1)
        x = self.dropout(self.words.read(tokens))
        if bool((lengths == tokens.shape[1]).all()):
            return self._through(x)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        words = packed._replace(data=self._through(packed.data, packed))
        return pad_packed_sequence(words, batch_first=True, total_length=tokens.shape[1])[0]

    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """[n, T, d] each: x_0 .. x_L, before the last norm."""
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

    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)
