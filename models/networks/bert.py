"""A BERT encoder (Devlin et al. 2019), as published (post-LN) or pre-LN, without segment embeddings.

Post-LN:  x = LN(words + positions),  LN(x + Attention x),  LN(x + MLP x),  features = LN(GELU(Linear x));  eps 1e-12.
Pre-LN:   x = words + positions,  x + Attention(LN x),  x + MLP(LN x),  features = LN x;  eps 1e-5, no head transform.

GELU is the exact one, x Phi(x). Where only some positions are asked for, the last layer runs at these alone: nothing
else reads its output.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..interface import MaskedLM, TiedHead
from ..ops.packing import Packing
from .transformer import Block

POST_LN_EPS = 1e-12
"""BERT's own (its released code); at pre-LN torch's default 1e-5 stands."""


class HeadTransform(nn.Module):
    """LN(GELU(Linear x)), what the published BERT puts between its last layer and the tied output."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.dense, self.norm = nn.Linear(width, width), nn.LayerNorm(width, eps)

    def forward(self, x: Tensor) -> Tensor:
        """[..., d] -> [..., d]."""
        out: Tensor = self.norm(F.gelu(self.dense(x)))
        return out


class Bert(MaskedLM):
    """layers blocks of the given width and number of heads, MLP 4 times as wide, learned positions, tied output.

    norm: "pre", or "post", the published BERT: its features are what the head transform gives, so that the logits are
    linear in them.
    """

    def __init__(
        self,
        name: str,
        vocab_size: int,
        max_length: int,
        layers: int,
        width: int,
        heads: int,
        norm: str = "pre",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.name, self.vocab_size, self.max_length, self.feature_size = name, vocab_size, max_length, width
        self.pre = norm == "pre"
        eps = 1e-5 if self.pre else POST_LN_EPS
        self.words = TiedHead(vocab_size, width)
        self.position = nn.Parameter(torch.zeros(max_length + 1, width))
        self.norm = nn.LayerNorm(width, eps)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, norm, dropout, eps) for _ in range(layers))
        if not self.pre:
            self.transform = HeadTransform(width, eps)

    def features(self, tokens: Tensor) -> Tensor:
        x, visible = self._read(tokens)
        for block in self.blocks:
            x = block(x, visible)
        return self._finish(x)

    def layer_features(self, tokens: Tensor) -> list[Tensor]:
        """[n, T, d] each, those of the blocks as they leave them: before the last norm, or the head transform."""
        x, visible = self._read(tokens)
        found = [x]
        for block in self.blocks:
            found.append(block(found[-1], visible))
        return found

    def features_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        x, seen = self._read(tokens)
        visible: Tensor | None = seen
        packing, inside = None, tokens != self.pad_id
        if self.packs and bool(inside.all()):
            # All is visible: attention is faster without being told.
            visible = None
        elif self.packs:
            packing = Packing(inside)
            x = packing.pack(x)
        for block in self.blocks[:-1]:
            x = block(x, visible, packing)
        last = cast(Block, self.blocks[-1])
        in_order = self.packs and torch.equal(rows, torch.arange(len(tokens), device=rows.device))
        return self._finish(last.at(x, visible, rows, positions, packing, in_order))

    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words.read(tokens) + self.position[: tokens.shape[1]]
        x = self.dropout(x if self.pre else self.norm(x))
        return x, (tokens != self.pad_id)[:, None, None, :]

    def _finish(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x) if self.pre else self.transform(x)
        return out
