"""A GPT decoder (Radford et al. 2019), pre-LN: it reads from left to right and predicts the next word or the end.

    f(v | x_0 .. x_(t-1)) = softmax_v( <features_t([CLS] x), output_v> + bias_v ),    v a word or the end

The [CLS] token begins every text. The end of the sentence is class V, the id of padding, whose embedding is its output
vector.
"""

import torch
from torch import Tensor, nn

from ..interface import MaskedLM, TiedHead
from .transformer import Block


class Gpt(MaskedLM):
    """layers blocks of the given width and number of heads, MLP 4 times as wide, learned positions, tied output.

    GELU is the exact one, and all weights start alike, as BERT's do.
    """

    causal = True

    def __init__(
        self, name: str, vocab_size: int, max_length: int, layers: int, width: int, heads: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, width
        self.words = TiedHead(vocab_size, width, self.num_classes)
        self.position = nn.Parameter(torch.zeros(max_length + 1, width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, "pre", dropout, causal=True) for _ in range(layers))

    @property
    def num_classes(self) -> int:
        """V + 1: the words and the sentence's end."""
        return self.vocab_size + 1

    def whole(self, tokens: Tensor) -> Tensor:
        """[n, T + 1]: the [CLS] token, then the words."""
        return nn.functional.pad(tokens, (1, 0), value=self.cls_id)

    def features(self, tokens: Tensor) -> Tensor:
        """h [n, T, d] at tokens [n, T] that begin with [CLS]: position t has read 0 .. t, nothing later."""
        # Padding stands at the end alone, where nothing that is asked for reads it.
        x = self.dropout(self.words.read(tokens) + self.position[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x, None)
        out: Tensor = self.norm(x)
        return out

    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """[n, T, d] each, those of the blocks as they leave them, before the last norm."""
        found = [self.dropout(self.words.read(tokens) + self.position[: tokens.shape[1]])]
        for block in self.blocks:
            found.append(block(found[-1], None))
        return found

    def logits(self, features: Tensor) -> Tensor:
        """[..., d] -> [..., V + 1]."""
        return self.words.predict(features)
