"""Splits a batch into parts, to fit into memory or to let a long step on a CPU stop after a few seconds."""

import math
from itertools import pairwise

from torch import Tensor

from ..generators import Sentences
from ..generators.sentences import Batch
from ..models import LanguageModel

MOST_WORK = 1e12
"""A batch of at most about this many floating-point operations stays whole: some seconds of CPU time."""

SHARE = 4
"""Parts per MOST_WORK operations of a larger batch. They are smaller than MOST_WORK, because the CPU may be busy."""

WORK_A_WORD = 6
"""Operations per word and parameter outside the embeddings, forward and backward."""


def number_of_parts(model: LanguageModel, words: int) -> int:
    """Returns 1 if w <= MOST_WORK, else ceil(SHARE w / MOST_WORK); w = 6 P words, P parameters outside embeddings."""
    inside = sum(p.numel() for name, p in model.named_parameters() if not _is_embedding(model, name))
    work = WORK_A_WORD * inside * words
    return 1 if work <= MOST_WORK else math.ceil(SHARE * work / MOST_WORK)


def passes(sentences: int, most: int, processes: int) -> int:
    """Returns the number of parts, equal in all processes, so that no part of a process exceeds `most` sentences.

    With `most` 1, a part may hold 2 sentences, so that no process is left with an empty part.

    Args:
        sentences: the number of sentences in the step, over all processes; at least one for each.
        most: the most sentences in a part.
        processes: the number of processes that share the step.
    """
    number = math.ceil(math.ceil(sentences / processes) / most)
    # Some processes may have one sentence fewer; none of their parts may be empty.
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
    """Splits a batch and its truth, in order, into exactly `number` parts, whose sizes differ by at most one."""
    bounds = [len(batch.inputs) * part // number for part in range(number + 1)]
    parts = []
    for begin, end in pairwise(bounds):
        part, which = batch.select(slice(begin, end))
        parts.append((part, None if truth is None else truth[which]))
    return parts


def _bounds(n: int, number: int) -> list[tuple[int, int]]:
    size = math.ceil(n / number)
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]
