"""What BERT and GPT share: multi-head attention, over all visible positions or earlier ones alone, and its block."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ops.packing import Packing


class Attention(nn.Module):
    """Multi-head self-attention that reads all visible positions and answers at some of them.

    causal: position t reads the positions up to and including t; all are then visible, and all are asked.
    """

    def __init__(self, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.query, self.key, self.value = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        visible: Tensor | None,
        asked: Tensor | None = None,
        rows: Tensor | None = None,
        packing: Packing | None = None,
    ) -> Tensor:
        """x [n, T, d] attends to itself, visible [n, 1, 1, T]: [n, T, d]; with a packing, both are [words, d].

        Where asked [m, S, d] is given, it attends to the sentences x[rows]: [m, S, d].
        """
        maps = (self.key, self.value) if asked is not None else (self.query, self.key, self.value)
        mapped = _together(maps, x)
        parts = (mapped if packing is None else packing.unpack(mapped)).chunk(len(maps), 2)
        if asked is not None:
            parts = (self.query(asked), *(parts if rows is None else (part[rows] for part in parts)))
            visible = visible if visible is None or rows is None else visible[rows]
        query, key, value = map(self._split, parts)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, is_causal=self.causal)
        mixed = mixed.transpose(1, 2).flatten(2)
        answer: Tensor = self.out(mixed if packing is None or asked is not None else packing.pack(mixed))
        return answer

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


def _rows(x: Tensor, numbers: Tensor) -> Tensor:
    """The words of these numbers [m], of x [n, T, d] or packed: [m, d]."""
    return (x.flatten(0, 1) if x.dim() > 2 else x).index_select(0, numbers)


def _together(maps: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """[..., len(maps) * d]: the maps of x side by side, as one product, which is faster than several."""
    return F.linear(x, torch.cat([one.weight for one in maps]), torch.cat([one.bias for one in maps]))


class Block(nn.Module):
    """Attention and an MLP 4 times as wide, exact GELU, each with a residual.

    norm "pre": x + Attention(LN x), x + MLP(LN x).    norm "post": LN(x + Attention x), LN(x + MLP x).
    """

    def __init__(
        self, width: int, heads: int, norm: str, dropout: float, eps: float = 1e-5, causal: bool = False
    ) -> None:
        super().__init__()
        self.pre = norm == "pre"
        self.attention = Attention(width, heads, causal)
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width, eps), nn.LayerNorm(width, eps)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor | None, packing: Packing | None = None) -> Tensor:
        """[n, T, d] -> [n, T, d]; with a packing, [words, d] -> [words, d]."""
        read = self.attention_norm(x) if self.pre else x
        return self._rest(x + self.dropout(self.attention(read, visible, packing=packing)))

    def at(
        self,
        x: Tensor,
        visible: Tensor | None,
        rows: Tensor,
        positions: Tensor,
        packing: Packing | None = None,
        in_order: bool = False,
    ) -> Tensor:
        """What `forward` gives at (rows, positions) [m]: [m, d]. Nothing else is computed but keys and values.

        in_order: rows is 0 .. n - 1, one position of each sentence.
        """
        here = rows * x.shape[1] + positions if packing is None else packing.number(rows, positions)
        asked = _rows(x, here)
        read = self.attention_norm(x) if self.pre else x
        asking = _rows(read, here) if self.pre else asked
        answer = self.attention(read, visible, asking[:, None], None if in_order else rows, packing)[:, 0]
        return self._rest(asked + self.dropout(answer))

    def _rest(self, x: Tensor) -> Tensor:
        """From the sum after attention to the block's output."""
        if self.pre:
            return x + self.dropout(self._mlp(self.mlp_norm(x)))
        x = self.attention_norm(x)
        out: Tensor = self.mlp_norm(x + self.dropout(self._mlp(x)))
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out
