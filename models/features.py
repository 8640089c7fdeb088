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
    tokens = sentences.tokens
    read = model.whole(tokens)
    words = model.features(read)[:, read.shape[1] - tokens.shape[1] :]
    inside = torch.arange(tokens.shape[1], device=tokens.device) < sentences.lengths[:, None]
    return words.masked_fill(~inside[..., None], 0.0).flatten(1)
