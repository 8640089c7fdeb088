"""Frozen features of whole sentences."""

import torch
from torch import Tensor

from ..generators import Sentences
from ..models import MaskedLM

CHUNK = 1024


@torch.no_grad()
def concatenated_features(model: MaskedLM, sentences: Sentences) -> Tensor:
    """[h_1(x), ..., h_T(x)] [n, T * d]: the features of all tokens side by side, nothing hidden, 0 beyond the end.

    Liu et al. 2022, section 3 and A.4. The dtype is the model's.
    """
    model.eval()
    parts = []
    for tokens, lengths in zip(sentences.tokens.split(CHUNK), sentences.lengths.split(CHUNK), strict=True):
        inside = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]
        parts.append(model.features(tokens).masked_fill(~inside[..., None], 0.0).flatten(1))
    return torch.cat(parts)
