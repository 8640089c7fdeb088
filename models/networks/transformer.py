"""The common parts of BERT and GPT: the settings of a transformer, multi-head attention, and the block around it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ...errors import InputError, at_least, unknown
from ..interface import LanguageModel
from ..ops.packing import Packing
from .base import INITIAL_DEVIATION, SizedNetwork, check_deviation, networks

HEAD_SIZE = 64
"""The width of an attention head at every model size, unless the number of heads is set (Liu et al. 2022, A.3)."""

BASE_WIDTH = 64
"""The width at which the width-aware initialisation equals the published one: the smallest width of Table 3."""

INITIALISATIONS = ("published", "width-aware")


@dataclass(frozen=True)
class TransformerNetwork(SizedNetwork):
    """A transformer: blocks of attention and an MLP 4 times as wide, learned positions, tied embeddings.

    `init` determines how the initial deviation and the output depend on the width d, with s = initial_deviation:

        setting        matrices inside      embeddings, positions    logits
        published      s                    s                        <h, e> + b
        width-aware    s (64 / d)^(1/2)     s                        64 / d <h, e> + b

    "published" has no such dependence (Devlin et al. 2019). "width-aware" is the initialisation of the maximal update
    parametrisation in the form for tied embeddings (Yang et al. 2022, "Tensor Programs V", Table 8). The deviation of
    a hidden matrix scales as fan_in^(-1/2), because each fan_in is a fixed multiple of d, and the multiplier of the
    output scales as 1 / fan_in. Both equal "published" at width 64. The multiplier applies to the features, so the
    logits stay linear in them.

    This is only the initialisation, not the whole parametrisation: all parameters keep the same learning rate, which is
    meant to be constant across widths. Table 8 also divides Adam's learning rate of hidden matrices by fan_in and
    changes the learning rates of SGD. The paper scales attention by 1 / (head size) instead of its square root. Neither
    is done here, so the optimal learning rate need not transfer between widths.

    Args:
        layers: number of blocks.
        width: number of features of a position, d.
        heads: number of attention heads, a divisor of the width. None gives heads of 64 features, or a single head if
            the model is narrower.
        initial_deviation: standard deviation s of the initial weights.
        init: "published" or "width-aware".
    """

    heads: int | None = None
    initial_deviation: float = INITIAL_DEVIATION
    init: str = INITIALISATIONS[0]

    widens = True
    deepens = True

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        if self.heads is None and self.width > HEAD_SIZE and self.width % HEAD_SIZE:
            nearest = max(1, round(self.width / HEAD_SIZE)) * HEAD_SIZE
            raise InputError(
                f"width {self.width}: expected a multiple of the head size {HEAD_SIZE}; choose one, for example "
                f"{networks.name_of(self)}-{self.layers}x{nearest}, or set heads to a divisor of {self.width}"
            )
        if self.heads is not None:
            at_least("heads", self.heads, 1)
            if self.width % self.heads:
                raise InputError(f"heads is {self.heads}, expected a divisor of the width {self.width}; correct it")
            if self.heads == default_heads(self.width) and not self.width % min(self.width, HEAD_SIZE):
                # Equal networks must have equal settings, so that they have the same name.
                object.__setattr__(self, "heads", None)
        check_deviation(self.initial_deviation)
        if self.init not in INITIALISATIONS:
            raise unknown("init", self.init, INITIALISATIONS)

    @property
    def number_of_heads(self) -> int:
        """The number of attention heads of each block."""
        return default_heads(self.width) if self.heads is None else self.heads

    @property
    def output_scale(self) -> float:
        """The multiplier of the features, and thus of the logits before their bias."""
        return BASE_WIDTH / self.width if self.init == "width-aware" else 1.0

    @property
    def block_parameters(self) -> int:
        """The number of parameters of one block: 12 d^2 + 13 d."""
        return 12 * self.width**2 + 13 * self.width

    @override
    def deviation(self, parameter: str) -> float:
        hidden = LanguageModel.parameter_block(parameter) == "weight"
        scale = math.sqrt(BASE_WIDTH / self.width) if hidden and self.init == "width-aware" else 1.0
        return self.initial_deviation * scale

    @override
    def resized(self, layers: int, width: int) -> Self:
        """The same network with another size. If the number of heads is set, heads keep their width."""
        # A single head grows with the model.
        heads = self.heads if self.heads in (None, 1) else max(1, width * self.number_of_heads // self.width)
        return type(self)(layers, width, heads, self.initial_deviation, self.init)


def default_heads(width: int) -> int:
    """The default number of heads: heads are 64 wide, and a narrower model has one head."""
    return max(1, width // HEAD_SIZE)


class Attention(nn.Module):
    """Multi-head self-attention over all visible positions, with outputs at some or all positions.

    Args:
        width: number of features of a position, d.
        heads: number of heads, a divisor of d.
        causal: whether position t reads only positions up to and including t. All positions then count as visible, and
            all have outputs.
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
        """Attends from each position of `x`, or from each of `asked`, to the visible positions of its sentence.

        Args:
            x: features [n, T, d]; with a packing, those of only the words [words, d].
            visible: [n, 1, 1, T] bool; None if every position is visible.
            asked: features [m, S, d] that attend to `x` instead of its own positions.
            rows: [m], the sentence to which each row of `asked` attends; None if m = n and the order is the same.
            packing: how the words of `x` are packed.

        Returns:
            The outputs, with the shape of `asked` if it is given, else of `x`.
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
        n, length, width = x.shape
        return x.reshape(n, length, self.heads, width // self.heads).transpose(1, 2)


def _rows(x: Tensor, numbers: Tensor) -> Tensor:
    """The features [m, d] of the words with these indices [m] in x, which is [n, T, d] or packed."""
    return (x.flatten(0, 1) if x.dim() > 2 else x).index_select(0, numbers)


def _together(maps: Sequence[nn.Linear], x: Tensor) -> Tensor:
    """The concatenated outputs of the maps, [..., len(maps) * d]. One product is faster than several."""
    return F.linear(x, torch.cat([one.weight for one in maps]), torch.cat([one.bias for one in maps]))


class Block(nn.Module):
    """Attention and an MLP 4 times as wide with exact GELU, each with a residual connection.

    "pre":   x + Attention(LN x),  x + MLP(LN x)
    "post":  LN(x + Attention x),  LN(x + MLP x)

    Args:
        width: number of features of a position, d.
        heads: number of attention heads.
        norm: "pre" or "post".
        dropout: probability of dropping an activation in training.
        eps: LayerNorm's eps.
        causal: whether position t attends only to positions up to and including t.
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
        """The block's output at all positions, [n, T, d] -> [n, T, d]; with a packing, [words, d] -> [words, d]."""
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
        """The output of `forward` at only some positions. At the others, only keys and values are computed.

        Args:
            x: features [n, T, d]; with a packing, [words, d].
            visible: [n, 1, 1, T] bool; None if every position is visible.
            rows: [m], the sentences of the positions.
            positions: [m], the positions in these sentences.
            packing: how the words of `x` are packed.
            in_order: whether rows is 0 .. n - 1, one position for each sentence.

        Returns:
            The output [m, d].
        """
        here = rows * x.shape[1] + positions if packing is None else packing.number(rows, positions)
        asked = _rows(x, here)
        read = self.attention_norm(x) if self.pre else x
        asking = _rows(read, here) if self.pre else asked
        answer = self.attention(read, visible, asking[:, None], None if in_order else rows, packing)[:, 0]
        return self._rest(asked + self.dropout(answer))

    def _rest(self, x: Tensor) -> Tensor:
        """The block's output, from the sum after attention."""
        if self.pre:
            out: Tensor = x + self.dropout(self._mlp(self.mlp_norm(x)))
        else:
            x = self.attention_norm(x)
            out = self.mlp_norm(x + self.dropout(self._mlp(x)))
        return out

    def _mlp(self, x: Tensor) -> Tensor:
        out: Tensor = self.down(F.gelu(self.up(x)))
        return out
