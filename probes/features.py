"""Frozen features of whole sentences."""

import torch
from torch import Tensor

from ..generators import Sentences
from ..models import MaskedLM
from ..models.features import sentence_features

CHUNK = 1024


@torch.no_grad()
def concatenated_features(model: MaskedLM, sentences: Sentences) -> Tensor:
    """[h_1(x), ..., h_T(x)] [n, T * d] in evaluation mode, without a graph; see `sentence_features`."""
    model.eval()
    parts = zip(sentences.tokens.split(CHUNK), sentences.lengths.split(CHUNK), strict=True)
    return torch.cat([sentence_features(model, Sentences(tokens, lengths)) for tokens, lengths in parts])
