"""The outputs of a frozen model that a head can read, computed once for all sentences.

words    G_0 = p(x_0 = . | text), the predicted distribution at a mask before the text: the input in the released code
logits   its logits
feature  the hidden feature of which the logits are a linear function
pooled   the mean over the text's words i of the predicted distributions G_i, each word masked in turn
"""

import torch
from torch import Tensor

from ...errors import InputError
from ...generators import Sentences
from ...models import LanguageModel
from ...models.ops.fast_linear import FastProducts
from .layout import Layout

READINGS = ("words", "logits", "feature", "pooled")

CHUNK, WORDS = 512, 2**15
"""The sentences that the model reads at once, and the tokens it reads at once when each word is masked in turn."""

LEAST_LOG = -745.0
"""Replaces the logarithm of 0 in the logits of the look-up table. Below it, exp is 0 in float64."""


def check_reads(reads: str) -> None:
    """Raises InputError for a reading that does not exist."""
    if reads not in READINGS:
        raise InputError(f"reads is '{reads}', expected one of {', '.join(READINGS)}; correct it")


def is_table(model: LanguageModel) -> bool:
    """Whether a model has no weights: the look-up table, whose features are exact conditionals."""
    return next(model.parameters(), None) is None


@torch.no_grad()
def read(model: LanguageModel, sentences: Sentences, reads: str = "words") -> Tensor:
    """The input of a head.

    Args:
        model: a masked model, which is set to evaluation mode.
        sentences: n sentences.
        reads: one of READINGS.

    Returns:
        [n, d] float64.

    Raises:
        InputError: for another reading, and for a model with a single position.
    """
    check_reads(reads)
    model.eval()
    if reads == "pooled":
        return torch.cat([pooled_part(model, part) for part in sentences.split(CHUNK)])
    layout = Layout(model.max_length)
    return torch.cat([_at_mask(model, layout.tokens(model, part.tokens), reads) for part in sentences.split(CHUNK)])


def _at_mask(model: LanguageModel, tokens: Tensor, reads: str) -> Tensor:
    rows = torch.arange(len(tokens), device=tokens.device)
    with FastProducts():
        features = model.features_at(tokens, rows, torch.zeros_like(rows))
        if reads == "feature" or (is_table(model) and reads == "words"):
            return features.double()
        logits = model.logits(features).double()
    return logits.clamp_min(LEAST_LOG) if reads == "logits" else logits.softmax(1)


@torch.no_grad()
def pooled_part(model: LanguageModel, sentences: Sentences) -> Tensor:
    """The mean over words of their predicted distributions, [n, V] float64; see `distributions`."""
    inside = torch.arange(sentences.tokens.shape[1], device=sentences.tokens.device) < sentences.lengths[:, None]
    found = distributions(model, sentences).masked_fill(~inside[..., None], 0.0)
    return found.sum(1) / sentences.lengths[:, None]


@torch.no_grad()
def distributions(model: LanguageModel, sentences: Sentences) -> Tensor:
    """G_i for each word i of each sentence, predicted from the other words alone.

    Args:
        model: a masked model, in evaluation mode.
        sentences: n sentences of at most T words.

    Returns:
        [n, T, V] float64. Values beyond a sentence's end have no meaning.
    """
    tokens = sentences.tokens
    if is_table(model):
        return model.features(tokens).double()
    n, length = tokens.shape
    found = torch.empty(n, length, model.num_classes, dtype=torch.float64, device=tokens.device)
    places = torch.arange(length, device=tokens.device)
    for rows in torch.arange(n, device=tokens.device).split(max(1, WORDS // length**2)):
        masked = tokens[rows].repeat_interleave(length, 0)
        position = places.repeat(len(rows))
        every = torch.arange(len(masked), device=tokens.device)
        masked[every, position] = torch.where(masked[every, position] == model.pad_id, model.pad_id, model.mask_id)
        with FastProducts():
            logits = model.logits_at(masked, every, position)
        found[rows] = logits.double().softmax(1).view(len(rows), length, -1)
    return found
