"""Batches in parts of some seconds of CPU time, so that a step can be abandoned before it changes anything."""

import math

from torch import Tensor

from ..generators import Sentences
from ..generators.sentences import Batch
from ..models import LanguageModel

MOST_WORK = 1e12
"""The approximate number of floating-point operations up to which a batch stays whole: some seconds of a CPU."""

SHARE = 4
"""Parts per MOST_WORK operations of a larger batch; smaller parts, because the CPU may be busy with other work."""

WORK_A_WORD = 6
"""Operations per word and parameter outside the embeddings, forward and backward."""


def number_of_parts(model: LanguageModel, words: int) -> int:
    """Returns 1 if w <= MOST_WORK, else ceil(SHARE w / MOST_WORK); w = 6 P words, P parameters outside embeddings."""
    inside = sum(p.numel() for name, p in model.named_parameters() if not _is_embedding(model, name))
    work = WORK_A_WORD * inside * words
    return 1 if work <= MOST_WORK else math.ceil(SHARE * work / MOST_WORK)


def parts_of(batch: Batch, truth: Tensor | None, number: int) -> list[tuple[Batch, Tensor | None]]:
    """Splits a batch and its truth, in order, into at most `number` parts of equal size; the last may be smaller."""
    if number == 1:
        return [(batch, truth)]
    parts = []
    for begin, end in _bounds(len(batch.inputs), number):
        part, which = batch.select(slice(begin, end))
        parts.append((part, None if truth is None else truth[which]))
    return parts


def sentences_in_parts(sentences: Sentences, number: int) -> list[Sentences]:
    """Splits sentences, in order, into at most `number` parts of equal size; the last may be smaller."""
    return [sentences[begin:end] for begin, end in _bounds(len(sentences), number)]


def _is_embedding(model: LanguageModel, name: str) -> bool:
    return model.parameter_block(name) in ("embedding", "position")


def _bounds(n: int, number: int) -> list[tuple[int, int]]:
    size = math.ceil(n / number)
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]
