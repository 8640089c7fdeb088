"""Batches in parts: as large as memory holds, or of some seconds of CPU time, after each of which a step can stop."""

import math
from itertools import pairwise

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


def passes(sentences: int, most: int, processes: int) -> int:
    """Returns the number of parts in which no process reads more than `most` sentences, the same for each process.

    Args:
        sentences: of the step, over all processes, at least one each.
        most: sentences in a part.
        processes: that share the step.
    """
    number = math.ceil(math.ceil(sentences / processes) / most)
    # A process with a sentence fewer must not be left without one in the last part.
    return min(number, sentences // processes)


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


def even_parts(batch: Batch, truth: Tensor | None, number: int) -> list[tuple[Batch, Tensor | None]]:
    """Splits a batch and its truth, in order, into exactly so many parts, whose sizes differ by at most one."""
    bounds = [len(batch.inputs) * part // number for part in range(number + 1)]
    parts = []
    for begin, end in pairwise(bounds):
        part, which = batch.select(slice(begin, end))
        parts.append((part, None if truth is None else truth[which]))
    return parts


def _bounds(n: int, number: int) -> list[tuple[int, int]]:
    size = math.ceil(n / number)
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]
