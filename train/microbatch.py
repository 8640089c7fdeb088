"""A batch in parts that a CPU works off in seconds, so that a step can be abandoned before it changes anything."""

import math

from torch import Tensor

from ..generators import Sentences
from ..generators.batches import Batch
from ..models import MaskedLM

MOST_WORK = 1e12
"""Floating-point operations of a batch that is worked off at once, about: some seconds of a CPU."""

SHARE = 4
"""Parts that so many operations are, where a batch has more: a CPU may have other work too."""

WORK_A_WORD = 6
"""Operations that a parameter outside the embeddings costs a word, forward and backward."""


def number_of_parts(model: MaskedLM, words: int) -> int:
    """1 up to MOST_WORK, beyond it ceil(SHARE w / MOST_WORK): w = 6 P words, P parameters outside the embeddings."""
    inside = sum(p.numel() for name, p in model.named_parameters() if not _is_embedding(model, name))
    work = WORK_A_WORD * inside * words
    return 1 if work <= MOST_WORK else math.ceil(SHARE * work / MOST_WORK)


def parts_of(batch: Batch, truth: Tensor | None, number: int) -> list[tuple[Batch, Tensor | None]]:
    """The batch's sentences, in order, in at most so many parts of equal size, but for the last; with their truth."""
    if number == 1:
        return [(batch, truth)]
    parts = []
    for begin, end in _bounds(len(batch.inputs), number):
        part, which = batch.select(slice(begin, end))
        parts.append((part, None if truth is None else truth[which]))
    return parts


def sentences_in_parts(sentences: Sentences, number: int) -> list[Sentences]:
    """The sentences, in order, in at most so many parts of equal size, but for the last."""
    return [sentences[begin:end] for begin, end in _bounds(len(sentences), number)]


def _is_embedding(model: MaskedLM, name: str) -> bool:
    return model.parameter_block(name) in ("embedding", "position")


def _bounds(n: int, number: int) -> list[tuple[int, int]]:
    size = math.ceil(n / number)
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]
