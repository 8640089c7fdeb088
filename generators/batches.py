"""Unlimited training batches, and fixed held-out sets with the exact distribution of every prediction."""

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
"""The size of a chunk of sentences between two checks of whether to stop.

A chunk has at most TRUTH_CHUNK sentences. On a CPU the sum of their squared lengths is also at most SQUARES, because a
long sentence of a grammar takes 0.05 s there.
"""


@dataclass(frozen=True)
class EvaluationSet:
    """Held-out sentences with the exact distribution of every word to predict.

    Args:
        batch: the sentences, with m predictions.
        truth: p(x_t = v | the visible words) [m, V] float64. With masking "next", p(x_t = v | x_0 .. x_(t-1))
            [m, V + 1], where column V is the sentence's end.
    """

    batch: Batch
    truth: Tensor

    @property
    def floor(self) -> Estimate:
        """The mean entropy of the truth over the predictions, nats."""
        return self.batch.mean(torch.special.entr(self.truth).sum(1))

    def __len__(self) -> int:
        return len(self.truth)

    @classmethod
    def joined(cls, sets: "Sequence[EvaluationSet]") -> "EvaluationSet":
        """One set with the sentences of several sets."""
        if len(sets) == 1:
            return sets[0]
        return cls(Batch.join([some.batch for some in sets]), torch.cat([some.truth for some in sets]))


def next_words(sentences: Sentences, pad_id: int, cls_id: int) -> Batch:
    """The batch of masking "next".

    Position t predicts word t from cls_id and the words 0 .. t-1; position `length` predicts the end.

    Args:
        sentences: n sentences of at most T words.
        pad_id: the token after a sentence's end; as a target, it means the end.
        cls_id: the token before the first word.

    Returns:
        A batch with inputs [n, T + 1]: cls_id, the words, then pad_id.
    """
    tokens, lengths = sentences.tokens, sentences.lengths
    inside = torch.arange(tokens.shape[1] + 1, device=tokens.device) <= lengths[:, None]
    rows, positions = inside.nonzero(as_tuple=True)
    targets = torch.nn.functional.pad(tokens, (0, 1), value=pad_id)[rows, positions]
    return Batch(torch.nn.functional.pad(tokens, (1, 0), value=cls_id), rows, positions, targets)


def make_batch(sentences: Sentences, masking: str, vocab_size: int, generator: torch.Generator) -> Batch:
    """Applies a masking to sentences and makes the batch of the resulting predictions.

    Args:
        sentences: n sentences.
        masking: "one", "bernoulli", "bernoulli:p" or "next"; see `masking.hide`.
        vocab_size: V; the tokens from V on are special (see `vocabulary.PAD`).
        generator: draws the hidden positions.

    Returns:
        The batch.

    Raises:
        InputError: for an unknown masking.
    """
    if masking == NEXT:
        return next_words(sentences, vocab_size + PAD, vocab_size + CLS)
    hidden = hide(sentences.lengths, sentences.tokens.shape[1], masking, generator)
    return sentences.mask(hidden, vocab_size + MASK)


def exact_truth(language: Language, batch: Batch, masking: str, stops: Callable[[], bool] | None = None) -> Tensor:
    """The exact distribution of each word that a batch asks to predict.

    Args:
        language: the language of the sentences.
        batch: m predictions.
        masking: the masking that made the batch.
        stops: returns whether to stop; called before each chunk of sentences. The chunks depend only on the sentences.
            Without it, everything is computed at once.

    Returns:
        [m, V] float64; [m, V + 1] with masking "next"; see `EvaluationSet`.

    Raises:
        StoppedError: if stops() returns True.
    """
    if stops is None:
        return _truth(language, batch, masking)
    found, n = [], TRUTH_CHUNK
    if language.device.type == "cpu":
        n = max(1, min(n, SQUARES // batch.inputs.shape[1] ** 2))
    for begin in range(0, len(batch.inputs), n):
        if stops():
            raise StoppedError("stopped while the truth was being computed", "compute it again")
        some, _ = batch.select(slice(begin, begin + n))
        found.append(_truth(language, some, masking))
    return torch.cat(found)


def _truth(language: Language, batch: Batch, masking: str) -> Tensor:
    if masking == NEXT:
        return language.next_word(batch.inputs[:, 1:])[batch.rows, batch.positions]
    return language.conditional_at(batch.inputs, None, batch.inputs == language.mask_id)


class Stream:
    """Unlimited batches from a language, on its device. The batch of a step depends only on (seed, step)."""

    def __init__(self, language: Language, batch_size: int, seed: int, masking: str = "one") -> None:
        self.language, self.batch_size, self.seed, self.masking = language, batch_size, seed, masking

    def batch(self, step: int) -> Batch:
        """The batch of a training step."""
        generator = random_stream(self.seed, "batches", step, device=self.language.device)
        sentences = self.sentences(step, generator)
        return make_batch(sentences, self.masking, self.language.vocab_size, generator)

    def truth(self, batch: Batch, stops: Callable[[], bool] | None = None) -> Tensor:
        """The exact truth of one of the stream's batches; see `exact_truth`."""
        return exact_truth(self.language, batch, self.masking, stops)

    def sentences(self, step: int, generator: torch.Generator) -> Sentences:
        """The sentences of a step, before any word is hidden. Here, new sentences from the generator."""
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
    """A held-out set. Its random stream differs from every stream that training draws from.

    Sets of different streams or parts are independent. Training monitors the stream "evaluation"; later measurements
    use other streams.

    Args:
        language: the language of the sentences.
        num_sentences: the number of sentences.
        seed: the seed of the sentences and of the hidden positions.
        masking: as for `make_batch`.
        stream: the name of the random stream.
        part: the number of the set within the stream.
        stops: as for `exact_truth`.

    Returns:
        The sentences with their exact distributions.

    Raises:
        InputError: if the masking hides no word of the set.
        StoppedError: as `exact_truth`.
    """
    generator = random_stream(seed, stream, *([part] if part else []), device=language.device)
    sentences = language.sample(num_sentences, generator, latents=False)
    batch = make_batch(sentences, masking, language.vocab_size, generator)
    if not len(batch.rows):
        raise InputError(f"masking '{masking}' hid no word in {num_sentences} held-out sentences; use more sentences")
    return EvaluationSet(batch, exact_truth(language, batch, masking, stops))
