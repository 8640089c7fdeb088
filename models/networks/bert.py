"""A BERT encoder (Devlin et al. 2019), as published (post-LN) or pre-LN, without segment embeddings.

Post-LN:  x = LN(words + positions),  LN(x + Attention x),  LN(x + MLP x),  features = LN(GELU(Linear x));  eps 1e-12.
Pre-LN:   x = words + positions,  x + Attention(LN x),  x + MLP(LN x),  features = LN x;  eps 1e-5, no head transform.

GELU is exact, x Phi(x). If features are requested only at some positions, the last layer runs only at these positions,
because nothing else reads its output.
"""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ...generators.vocabulary import SPECIAL_TOKENS
from ..interface import LanguageModel, TiedHead
from ..ops.packing import Packing
from .base import Count, networks
from .transformer import Block, TransformerNetwork

POST_LN_EPS = 1e-12
"""LayerNorm's eps in BERT's released code. Pre-LN has torch's default, 1e-5."""


class HeadTransform(nn.Module):
    """LN(GELU(Linear x)), between the last layer and the tied output of the published BERT."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """The features in which the logits are linear, [..., d] -> [..., d]."""
        out: Tensor = self.norm(F.gelu(self.dense(x)))
        return out


class Bert(LanguageModel):
    """The encoder. The features of post-LN are the output of the head transform, so the logits are linear in them.

    The arguments are those of `Network.build`, and:

    Args:
        settings: layers, width, heads and the output multiplier.
        norm: "pre", or "post" for the published BERT.
    """

    def __init__(
        self,
        name: str,
        vocab_size: int,
        max_length: int,
        settings: TransformerNetwork,
        norm: str = "pre",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width, heads = settings.width, settings.number_of_heads
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, width
        self.settings, self.pre = settings, norm == "pre"
        eps = 1e-5 if self.pre else POST_LN_EPS
        self.words = TiedHead(vocab_size, width)
        self.position = nn.Parameter(torch.zeros(max_length + 1, width))
        self.norm = nn.LayerNorm(width, eps)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, norm, dropout, eps) for _ in range(settings.layers))
        if not self.pre:
            self.transform = HeadTransform(width, eps)

    @override
    def features(self, tokens: Tensor) -> Tensor:
        x, visible = self._read(tokens)
        for block in self.blocks:
            x = block(x, visible)
        return self._finish(x)

    @override
    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """The embedding and the output of each block, [n, T, d] each, before the last norm or the head transform."""
        x, visible = self._read(tokens)
        found = [x]
        for block in self.blocks:
            found.append(block(found[-1], visible))
        return found

    @override
    def features_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        x, seen = self._read(tokens)
        visible: Tensor | None = seen
        packing, inside = None, tokens != self.pad_id
        if self.packs and bool(inside.all()):
            # Nothing is padded, and attention is faster without a mask.
            visible = None
        elif self.packs:
            packing = Packing(inside)
            x = packing.pack(x)
        for block in self.blocks[:-1]:
            x = block(x, visible, packing)
        last = cast(Block, self.blocks[-1])
        in_order = self.packs and torch.equal(rows, torch.arange(len(tokens), device=rows.device))
        return self._finish(last.at(x, visible, rows, positions, packing, in_order))

    @override
    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """(the embedding [n, T, d], which positions are visible [n, 1, 1, T])."""
        x = self.words.read(tokens) + self.position[: tokens.shape[1]]
        x = self.dropout(x if self.pre else self.norm(x))
        return x, (tokens != self.pad_id)[:, None, None, :]

    def _finish(self, x: Tensor) -> Tensor:
        """The features, from the last block's output."""
        out: Tensor = self.norm(x) if self.pre else self.transform(x)
        scale = self.settings.output_scale
        return out if scale == 1 else out * scale


@networks.register("bert")
@dataclass(frozen=True)
class BertNetwork(TransformerNetwork):
    """The pre-LN BERT, with the settings of `TransformerNetwork`."""

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        return Bert(name, vocab_size, max_length, self, "pre", dropout)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        """(V + 3) d + (T + 1) d embeddings, V output biases, L (12 d^2 + 13 d) in blocks, 2 d in the final norm."""
        embeddings = (vocab_size + SPECIAL_TOKENS + max_length + 1) * self.width
        return Count(embeddings + vocab_size + self.layers * self.block_parameters + 2 * self.width, embeddings)


@networks.register("bert-post")
@dataclass(frozen=True)
class BertPostNetwork(TransformerNetwork):
    """The published, post-LN BERT with its head transform, with the settings of `TransformerNetwork`."""

    # A block whose output is zero still normalises its input.
    deepens = False

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        return Bert(name, vocab_size, max_length, self, "post", dropout)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        """As for the pre-LN BERT, plus d^2 + 3 d in the head transform. The 2 d are those of the embedding's norm."""
        d = self.width
        embeddings = (vocab_size + SPECIAL_TOKENS + max_length + 1) * d
        inside = self.layers * self.block_parameters + 2 * d + d * d + 3 * d
        return Count(embeddings + vocab_size + inside, embeddings)
