"""A pre-LN GPT decoder (Radford et al. 2019): it reads from left to right and predicts the next word or the end.

    f(v | x_0 .. x_(t-1)) = softmax_v( <features_t([CLS] x), output_v> + bias_v ),    v a word or the end

Every text begins with the [CLS] token. The end of the sentence is class V, which is the id of padding, so the embedding
of padding is the output vector of the end.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from typing_extensions import override

from ...generators.vocabulary import SPECIAL_TOKENS
from ..interface import LanguageModel, TiedHead
from .base import Count, networks
from .transformer import Block, TransformerNetwork


class Gpt(LanguageModel):
    """The decoder. As in BERT, GELU is exact, and `TransformerNetwork` defines the initial weights.

    The arguments are those of `Network.build`, and:

    Args:
        settings: layers, width, heads and the output multiplier.
    """

    causal = True

    def __init__(
        self, name: str, vocab_size: int, max_length: int, settings: TransformerNetwork, dropout: float = 0.0
    ) -> None:
        super().__init__()
        width, heads = settings.width, settings.number_of_heads
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, width
        self.settings = settings
        self.words = TiedHead(vocab_size, width, self.num_classes)
        self.position = nn.Parameter(torch.zeros(max_length + 1, width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, "pre", dropout, causal=True) for _ in range(settings.layers))

    @property
    @override
    def num_classes(self) -> int:
        """V + 1: the words and the end of the sentence."""
        return self.vocab_size + 1

    @override
    def whole(self, tokens: Tensor) -> Tensor:
        """The [CLS] token, then the words: [n, T + 1]."""
        return nn.functional.pad(tokens, (1, 0), value=self.cls_id)

    @override
    def features(self, tokens: Tensor) -> Tensor:
        """h [n, T, d] for tokens [n, T] that begin with [CLS]. Position t depends only on tokens 0 .. t."""
        # Padding needs no mask, because it is at the end, which no earlier position reads.
        x = self.dropout(self.words.read(tokens) + self.position[: tokens.shape[1]])
        for block in self.blocks:
            x = block(x, None)
        out: Tensor = self.norm(x)
        scale = self.settings.output_scale
        return out if scale == 1 else out * scale

    @override
    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """The embedding and the output of each block, [n, T, d] each, before the last norm."""
        found = [self.dropout(self.words.read(tokens) + self.position[: tokens.shape[1]])]
        for block in self.blocks:
            found.append(block(found[-1], None))
        return found

    @override
    def logits(self, features: Tensor) -> Tensor:
        """The linear head, [..., d] -> [..., V + 1]."""
        return self.words.predict(features)


@networks.register("gpt")
@dataclass(frozen=True)
class GptNetwork(TransformerNetwork):
    """The pre-LN GPT, with the settings of `TransformerNetwork`."""

    causal = True

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        return Gpt(name, vocab_size, max_length, self, dropout)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        """(V + 3) d + (T + 1) d embeddings, V + 1 output biases, L (12 d^2 + 13 d) in blocks, 2 d in the final norm."""
        embeddings = (vocab_size + SPECIAL_TOKENS + max_length + 1) * self.width
        return Count(embeddings + vocab_size + 1 + self.layers * self.block_parameters + 2 * self.width, embeddings)
