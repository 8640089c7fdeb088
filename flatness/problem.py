"""The contexts on which flatness is measured, their true conditionals, and checks of the model and sentences."""

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..generators import Language, Sentences
from ..generators.batches import exact_truth, make_batch
from ..generators.sentences import Batch
from ..models import LanguageModel, check_masking

TARGETS = ("sampled", "exact")


def check_targets(targets: str) -> None:
    """Raises InputError unless targets is "sampled" or "exact"."""
    if targets not in TARGETS:
        raise unknown("targets", targets, TARGETS)


def check_trainable(model: LanguageModel, sentences: Sentences, masking: str) -> None:
    """Raises InputError if no measure is defined for the model, the sentences and the masking."""
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"model '{model.name}' has no trainable parameters, so no Hessian; take a trained network")
    if not isinstance(sentences, Sentences):
        raise InputError(
            f"sentences are of type {type(sentences).__name__}, expected Sentences; give what language.sample returns"
        )
    sentences.check_words(model.vocab_size, f"model '{model.name}'")
    if len(sentences) < 2:
        raise InputError(f"{len(sentences)} contexts, expected at least 2; take more sentences")
    check_masking(model, masking)


def contexts_of(model: LanguageModel, sentences: Sentences, masking: str, generator: torch.Generator) -> Batch:
    """The contexts of the hidden words. Raises InputError if no word is hidden."""
    batch = make_batch(sentences, masking, model.vocab_size, generator)
    if not len(batch.rows):
        raise InputError(f"masking '{masking}' hid no word in {len(sentences)} sentences; take more contexts")
    return batch


def truth_of(language: Language | None, batch: Batch, masking: str, method: str) -> Tensor:
    """p* [m, C] at the contexts. Raises InputError without a language."""
    if language is None:
        raise InputError(
            f"flatness method '{method}' needs the exact truth, expected the language of the sentences; give it"
        )
    return exact_truth(language, batch, masking)
