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
from .sentences import Batch, Sentences
from .vocabulary import CLS, MASK, PAD

TRUTH_CHUNK, SQUARES = 1024, 2**25
"""Sentences whose truth is worked out between two looks at whether to stop: so many, or on a CPU fewer, the squares of
whose lengths sum up to this at most, as long ones of a grammar take a CPU 0.05 s each.
"""


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
        return cls(Batch.join([some.batch for some in sets]), torch.cat([some.truth for some in sets]))


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

    vocab_size V fixes the tokens that are no words: see `vocabulary.PAD`.
    """
    if masking == NEXT:
        return next_words(sentences, vocab_size + PAD, vocab_size + CLS)
    hidden = hide(sentences.lengths, sentences.tokens.shape[1], masking, generator)
    return sentences.mask(hidden, vocab_size + MASK)


def exact_truth(language: Language, batch: Batch, masking: str, stops: Callable[[], bool] | None = None) -> Tensor:
    """The truth [m, V] (masking "next": [m, V + 1]) float64 at the places of a batch; see `EvaluationSet`.

    With stops it is made in chunks that the sentences alone determine: raises StoppedError as soon as stops() is true, which
    is asked before each of them.
    """
    if stops is None:
        return _truth(language, batch, masking)
    found, n = [], TRUTH_CHUNK
    if language.device.type == "cpu":
        n = max(1, min(n, SQUARES // batch.inputs.shape[1] ** 2))
    for begin in range(0, len(batch.inputs), n):
        if stops():
            raise StoppedError("stopped while the truth was worked out", "work it out again")
        some, _ = batch.select(slice(begin, begin + n))
        found.append(_truth(language, some, masking))
    return torch.cat(found)


def _truth(language: Language, batch: Batch, masking: str) -> Tensor:
    if masking == NEXT:
        return language.next_word(batch.inputs[:, 1:])[batch.rows, batch.positions]
    return language.conditional_at(batch.inputs, None, batch.inputs == language.mask_id)


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
