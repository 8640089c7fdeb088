"""A BERT encoder (Devlin et al. 2019), pre-LN or post-LN, without segment embeddings and without a head transform.

Pre-LN:   x + Attention(LN x), x + MLP(LN x), a final LN.      Post-LN:   LN(x + Attention x), LN(x + MLP x), LN after the embedding.

Where only some positions are asked for, the last layer runs at these alone: nothing else reads its output.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .interface import MaskedLM, TiedHead


class Attention(nn.Module):
    """Multi-head self-attention that reads all visible positions and answers at some of them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, asked: Tensor, x: Tensor, visible: Tensor, rows: Tensor | None = None) -> Tensor:
        """asked [n, S, d] attends to x [n, T, d], visible [n, 1, 1, T]: [n, S, d].

        Where rows [m] are given, asked [m, S, d] attends to the sentences x[rows].
        """
        query, key, value = (self._split(part) for part in (self.query(asked), self.key(x), self.value(x)))
        if rows is not None:
            key, value, visible = key[rows], value[rows], visible[rows]
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
        answer: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return answer

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, norm: str, dropout: float) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(width, heads)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor, rows: Tensor | None = None, at: Tensor | None = None) -> Tensor:
        """[n, T, d] -> [n, T, d]; or, where (rows, at) [m] are given, only what stands there: [m, 1, d]."""
        read = self.attention_norm(x) if self.pre else x
        residual, asked = x, read
        if rows is not None and at is not None:
            residual, asked = x[rows, at][:, None], read[rows, at][:, None]
        x = residual + self.dropout(self.attention(asked, read, visible, rows))
        if self.pre:
            return x + self.dropout(self._mlp(self.mlp_norm(x)))
        x = self.attention_norm(x)
        out: Tensor = self.mlp_norm(x + self.dropout(self._mlp(x)))
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out


class Bert(MaskedLM):
    """layers blocks of the given width and number of heads, MLP 4 times as wide, learned positions, tied output.

    norm: "pre" or "post".
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
        self.words = TiedHead(vocab_size, width)
        self.position = nn.Parameter(torch.zeros(max_length + 1, width))
        self.norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, norm, dropout) for _ in range(layers))

    def features(self, tokens: Tensor) -> Tensor:
        x, visible = self._read(tokens)
        for block in self.blocks:
            x = block(x, visible)
        return self._finish(x)

    def features_at(self, tokens: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        x, visible = self._read(tokens)
        for block in self.blocks[:-1]:
            x = block(x, visible)
        return self._finish(self.blocks[-1](x, visible, rows, positions)[:, 0])

    def logits(self, features: Tensor) -> Tensor:
        return self.words.predict(features)

    def _read(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.words.read(tokens) + self.position[: tokens.shape[1]]
        x = self.dropout(x if self.pre else self.norm(x))
        return x, (tokens != self.pad_id)[:, None, None, :]

    def _finish(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x) if self.pre else x
        return out
