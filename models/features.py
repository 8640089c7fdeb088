"""Features of whole sentences."""

import torch
from torch import Tensor

from ..generators import Sentences
from .interface import LanguageModel


def sentence_features(model: LanguageModel, sentences: Sentences) -> Tensor:
    """[h_1(x), ..., h_T(x)]: the concatenated features of all tokens, with nothing hidden.

    For a causal model, h_t are the features after it has read the t-th token (Liu et al. 2022, section 3 and A.4).

    Args:
        model: the model; its dtype is that of the features.
        sentences: tokens [n, T].

    Returns:
        Features [n, T * d], zero beyond the end of a sentence, with their autograd graph.
    """
    return _side_by_side(model.features(model.whole(sentences.tokens)), sentences)


def sentence_layers(model: LanguageModel, sentences: Sentences) -> list[Tensor]:
    """`sentence_features` of the embedding and of each layer, [n, T * its width]. InputError if there are no layers."""
    return [_side_by_side(layer, sentences) for layer in model.layer_features(model.whole(sentences.tokens))]


def _side_by_side(features: Tensor, sentences: Sentences) -> Tensor:
    """The concatenated features of the words [n, T * d], from the features [n, T or T + 1, d] of all tokens read."""
    tokens = sentences.tokens
    words = features[:, features.shape[1] - tokens.shape[1] :]
    inside = torch.arange(tokens.shape[1], device=tokens.device) < sentences.lengths[:, None]
    return words.masked_fill(~inside[..., None], 0.0).flatten(1)
