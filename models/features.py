"""Features of whole sentences."""

import torch
from torch import Tensor

from ..generators import Sentences
from .interface import MaskedLM


def sentence_features(model: MaskedLM, sentences: Sentences) -> Tensor:
    """[h_1(x), ..., h_T(x)] [n, T * d]: the features of all tokens side by side, nothing hidden, 0 beyond the end.

    Liu et al. 2022, section 3 and A.4. Of a causal model h_t is what it knows once it has read the t-th token.
    The dtype is the model's; the graph is kept.
    """
    return _side_by_side(model.features(model.whole(sentences.tokens)), sentences)


def sentence_layers(model: MaskedLM, sentences: Sentences) -> list[Tensor]:
    """The same of the embedding and of each layer, [n, T * its width]. Raises InputError for a model without layers."""
    return [_side_by_side(layer, sentences) for layer in model.layer_features(model.whole(sentences.tokens))]


def _side_by_side(features: Tensor, sentences: Sentences) -> Tensor:
    """features [n, T or T + 1, d] of what a model reads, the words' alone: [n, T * d]."""
    tokens = sentences.tokens
    words = features[:, features.shape[1] - tokens.shape[1] :]
    inside = torch.arange(tokens.shape[1], device=tokens.device) < sentences.lengths[:, None]
    return words.masked_fill(~inside[..., None], 0.0).flatten(1)
