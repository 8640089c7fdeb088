"""The linear head of a model: its weights, and the space of logits that it can reach."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ..interface import LanguageModel


@torch.no_grad()
def head_of(model: "LanguageModel") -> tuple[Tensor, Tensor]:
    """(Phi [d, C], bias [C]) of a model with logits = Phi^T f + bias, float64."""
    like = next(model.parameters())
    zero = torch.zeros(1, model.feature_size, dtype=like.dtype, device=like.device)
    bias = model.logits(zero).double()
    eye = torch.eye(model.feature_size, dtype=like.dtype, device=like.device)
    return model.logits(eye).double() - bias, bias[0]


def row_space(phi: Tensor, bias: Tensor) -> Tensor:
    """An orthonormal basis [C, r] of the row space of Phi and b."""
    _, values, rows = torch.linalg.svd(torch.cat([phi, bias[None]]), full_matrices=False)
    basis: Tensor = rows[values > 1e-12 * float(values[0])].T
    return basis
