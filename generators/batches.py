"""Unlimited training batches and a fixed held-out set, with the exact truth at every place that is to be predicted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError, StoppedError
from ..estimate import Estimate
from ..randomness import random_stream
from .language import Language
from .masking import NEXT, hide
from .sentences import Sentences

TRUTH_CHUNK, SQUARES = 1024, 2**25
"""Sentences whose truth is worked out between two looks at whether to stop: so many, or on a CPU fewer, the squares of
whose lengths sum up to this at most, as long ones of a grammar take a CPU 0.05 s each.
"""


@dataclass(frozen=True)
class Batch:
    """Masked sentences and what to predict: the word targets[i] at (rows[i], positions[i]), i < m.

    inputs [n, T]: the tokens with mask_id at the hidden positions and pad_id beyond the end. With masking "one", m = n
    and rows is 0 .. n-1. With masking "next", see `next_words`.
    """

    inputs: Tensor
    rows: Tensor
    positions: Tensor
    targets: Tensor

    def mean(self, values: Tensor) -> Estimate:
        """The mean of one value [m] a prediction, with a standard error that takes each sentence as one draw."""
        values = values.double()
        zeros = torch.zeros(len(self.inputs), dtype=torch.float64, device=values.device)
        rows = self.rows.to(values.device)
        return Estimate.from_ratio(zeros.index_add(0, rows, values), zeros.index_add(0, rows, torch.ones_like(values)))


@dataclass(frozen=True)
class EvaluationSet:
    """Held-out sentences with the truth: truth [m, V] float64 = p(x_t = v | the visible words) at each hidden position.

    With masking "next" truth [m, V + 1] = p(x_t = v | x_0 .. x_(t-1)), column V the sentence's end.
    """

    batch: Batch
    truth: Tensor

    @property
    def floor(self) -> Estimate:
        """The entropy of the truth at these positions, nats."""
        return self.batch.mean(torch.special.entr(self.truth).sum(1))

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def joined(cls, sets: "Sequence[EvaluationSet]") -> "EvaluationSet":
        """One set of all their sentences."""
        if len(sets) == 1:
            return sets[0]
        begins = torch.tensor([0] + [len(some.batch.inputs) for some in sets]).cumsum(0).tolist()
        rows = torch.cat([some.batch.rows + begin for some, begin in zip(sets, begins, strict=False)])
        inputs, positions, targets = (
            torch.cat([getattr(some.batch, name) for some in sets]) for name in ("inputs", "positions", "targets")
        )
        return cls(Batch(inputs, rows, positions, targets), torch.cat([some.truth for some in sets]))


def mask_sentences(sentences: Sentences, hidden: Tensor, mask_id: int) -> Batch:
    """The batch that hides the positions hidden [n, T]."""
    rows, positions = hidden.nonzero(as_tuple=True)
    inputs = sentences.tokens.masked_fill(hidden, mask_id)
    return Batch(inputs, rows, positions, sentences.tokens[rows, positions])


def next_words(sentences: Sentences, pad_id: int, cls_id: int) -> Batch:
    """The batch of masking "next": inputs [n, T + 1] are cls_id, then the words, pad_id beyond the end.

    At position t the word t is to be predicted, from cls_id and the words 0 .. t-1; at position `length` the end.
    """
    tokens, lengths = sentences.tokens, sentences.lengths
    inside = torch.arange(tokens.shape[1] + 1, device=tokens.device) <= lengths[:, None]
    rows, positions = inside.nonzero(as_tuple=True)
    targets = torch.nn.functional.pad(tokens, (0, 1), value=pad_id)[rows, positions]
    return Batch(torch.nn.functional.pad(tokens, (1, 0), value=cls_id), rows, positions, targets)


def make_batch(sentences: Sentences, masking: str, vocab_size: int, generator: torch.Generator) -> Batch:
    """What is to be predicted in the sentences under a masking. Raises InputError for one that nobody knows.

    vocab_size V fixes the tokens that are no words, as in `Language`: pad_id V, mask_id V + 1, cls_id V + 2.
    """
    if masking == NEXT:
        return next_words(sentences, vocab_size, vocab_size + 2)
    hidden = hide(sentences.lengths, sentences.tokens.shape[1], masking, generator)
    return mask_sentences(sentences, hidden, vocab_size + 1)


def exact_truth(language: Language, batch: Batch, masking: str, stops: Callable[[], bool] | None = None) -> Tensor:
    """The truth [m, V] (masking "next": [m, V + 1]) float64 at the places of a batch; see `EvaluationSet`.

    With stops it is made in chunks that the sentences alone determine: raises StoppedError as soon as stops() is true, which
    is asked before each of them.
    """
    if stops is None:
        return _truth(language, batch.inputs, batch.rows, batch.positions, masking)
    found, n = [], TRUTH_CHUNK
    if language.device.type == "cpu":
        n = max(1, min(n, SQUARES // batch.inputs.shape[1] ** 2))
    for begin in range(0, len(batch.inputs), n):
        if stops():
            raise StoppedError("stopped while the truth was worked out", "work it out again")
        here = (batch.rows >= begin) & (batch.rows < begin + n)
        inputs = batch.inputs[begin : begin + n]
        found.append(_truth(language, inputs, batch.rows[here] - begin, batch.positions[here], masking))
    return torch.cat(found)


def _truth(language: Language, inputs: Tensor, rows: Tensor, positions: Tensor, masking: str) -> Tensor:
    if masking == NEXT:
        return language.next_word(inputs[:, 1:])[rows, positions]
    return language.conditional_at(inputs, None, inputs == language.mask_id)


class Stream:
    """Unlimited batches from a language, made on its device: batch(step) depends on (seed, step) alone."""

    def __init__(self, language: Language, batch_size: int, seed: int, masking: str = "one") -> None:
        self.language, self.batch_size, self.seed, self.masking = language, batch_size, seed, masking

    def batch(self, step: int) -> Batch:
        generator = random_stream(self.seed, "batches", step, device=self.language.device)
        sentences = self.sentences(step, generator)
        return make_batch(sentences, self.masking, self.language.vocab_size, generator)

    def truth(self, batch: Batch, stops: Callable[[], bool] | None = None) -> Tensor:
        """The exact truth [m, V] (masking "next": [m, V + 1]) float64 at the places of one of its batches; see `exact_truth`."""
        return exact_truth(self.language, batch, self.masking, stops)

    def sentences(self, step: int, generator: torch.Generator) -> Sentences:
        """What the batch of a step hides words in: fresh sentences, drawn from the generator."""
        return self.language.sample(self.batch_size, generator, latents=False)


def evaluation_set(
    language: Language,
    num_sentences: int,
    seed: int,
    masking: str = "one",
    stream: str = "evaluation",
    part: int = 0,
    stops: Callable[[], bool] = lambda: False,
) -> EvaluationSet:
    """A held-out set fixed by the seed; its random stream is none that training draws from.

    Sets of different streams or parts are independent: training watches "evaluation", a later measurement another one.

    Raises InputError where the masking hides no word in it, StoppedError as `exact_truth` does.
    """
    generator = random_stream(seed, stream, *([part] if part else []), device=language.device)
    sentences = language.sample(num_sentences, generator, latents=False)
    batch = make_batch(sentences, masking, language.vocab_size, generator)
    if not len(batch.rows):
        raise InputError(f"masking '{masking}' hid no word in {num_sentences} held-out sentences; take more sentences")
    return EvaluationSet(batch, exact_truth(language, batch, masking, stops))
