"""Unlimited training batches and a fixed held-out set, with the exact truth at every hidden position."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..estimate import Estimate
from ..randomness import random_stream
from .language import Language
from .masking import hide
from .sentences import Sentences


@dataclass(frozen=True)
class Batch:
    """Masked sentences and what to predict: the word targets[i] at (rows[i], positions[i]), i < m.

    inputs [n, T]: the tokens with mask_id at the hidden positions and pad_id beyond the end. With masking "one", m = n
    and rows is 0 .. n-1.
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
    """Held-out sentences with the truth: truth [m, V] float64 = p(x_t = v | the visible words) at each hidden position."""

    batch: Batch
    truth: Tensor

    @property
    def floor(self) -> Estimate:
        """The entropy of the truth at these positions, nats."""
        return self.batch.mean(torch.special.entr(self.truth).sum(1))

    def __len__(self) -> int:
        return len(self.truth)


def mask_sentences(sentences: Sentences, hidden: Tensor, mask_id: int) -> Batch:
    """The batch that hides the positions hidden [n, T]."""
    rows, positions = hidden.nonzero(as_tuple=True)
    inputs = sentences.tokens.masked_fill(hidden, mask_id)
    return Batch(inputs, rows, positions, sentences.tokens[rows, positions])


class Stream:
    """Unlimited batches from a language, made on its device: batch(step) depends on (seed, step) alone."""

    def __init__(self, language: Language, batch_size: int, seed: int, masking: str = "one") -> None:
        self.language, self.batch_size, self.seed, self.masking = language, batch_size, seed, masking

    def batch(self, step: int) -> Batch:
        generator = random_stream(self.seed, "batches", step, device=self.language.device)
        sentences = self.sentences(step, generator)
        hidden = hide(sentences.lengths, sentences.tokens.shape[1], self.masking, generator)
        return mask_sentences(sentences, hidden, self.language.mask_id)

    def sentences(self, step: int, generator: torch.Generator) -> Sentences:
        """What the batch of a step hides words in: fresh sentences, drawn from the generator."""
        return self.language.sample(self.batch_size, generator, latents=False)


def evaluation_set(
    language: Language, num_sentences: int, seed: int, masking: str = "one", stream: str = "evaluation"
) -> EvaluationSet:
    """A held-out set fixed by the seed; its random stream is none that training draws from.

    Sets of different streams are independent: training watches "evaluation", a measurement afterwards takes another.

    Raises InputError where the masking hides no word in it.
    """
    generator = random_stream(seed, stream, device=language.device)
    sentences = language.sample(num_sentences, generator, latents=False)
    hidden = hide(sentences.lengths, sentences.tokens.shape[1], masking, generator)
    if not bool(hidden.any()):
        raise InputError(f"masking '{masking}' hid no word in {num_sentences} held-out sentences; take more sentences")
    truth = language.conditional_at(sentences.tokens, sentences.lengths, hidden)
    return EvaluationSet(mask_sentences(sentences, hidden, language.mask_id), truth)
