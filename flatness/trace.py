"""The trace of the Hessian of the pre-training loss: one entry, many estimators.

Normaliser: the mean over contexts (x, t) of a loss in nats. Parameters: all trainable ones, tied weights once.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..estimate import Estimate
from ..generators import Sentences
from ..generators.stream import make_batch
from ..models import MaskedLM, check_masking
from ..randomness import random_stream
from .sampled_gradient import block_traces


@dataclass(frozen=True)
class TraceEstimate(Estimate):
    """The total, and the share of each kind of parameter in blocks: name -> Estimate; the values add up to the total."""

    blocks: dict[str, Estimate]


Estimator = Callable[..., dict[str, Tensor]]
METHODS: dict[str, Estimator] = {"sampled-gradient": block_traces}
"""Each gives, for a batch of contexts, one independent unbiased term a context and block: name -> [contexts]."""


def hessian_trace(
    model: MaskedLM,
    sentences: Sentences,
    method: str = "sampled-gradient",
    draws: int = 1,
    seed: int = 0,
    masking: str = "one",
) -> TraceEstimate:
    """Tr(H), H the Hessian of E_{x,t} -log f(x_t | x_-t) over all parameters, in nats per unit of parameter squared.

    One context (x, t) a sentence, t hidden at random (or several, where `masking` says so; with "next" every beginning
    of the sentence, x_t the word after it or the end); the standard error takes each of the n sentences as one draw.
    method "sampled-gradient": see flatness/sampled_gradient.py; it is Tr(H) where f equals the truth.

    Raises InputError for an unknown method, a masking that is not the model's, fewer than 2 sentences or than 1 draw.
    """
    if method not in METHODS:
        raise unknown("flatness method", method, METHODS)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise InputError(f"model '{model.name}' has no trainable parameters, so no Hessian; take a trained network")
    if len(sentences) < 2 or draws < 1:
        raise InputError(f"{len(sentences)} contexts with {draws} draws: expected at least 2 contexts and 1 draw")
    check_masking(model, masking)
    generator = random_stream(seed, "flatness", device=sentences.tokens.device)
    batch = make_batch(sentences, masking, model.vocab_size, generator)
    if not len(batch.rows):
        raise InputError(f"masking '{masking}' hid no word in {len(sentences)} sentences; take more contexts")
    terms = METHODS[method](model, batch, draws, generator)
    blocks = {name: batch.mean(values) for name, values in terms.items()}
    total = batch.mean(torch.stack(list(terms.values())).sum(0))
    return TraceEstimate(total.value, total.stderr, total.n, blocks)
