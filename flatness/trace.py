"""The trace of the Hessian of the pre-training loss: one entry, many estimators.

Normaliser: the mean over contexts (x, t) of a loss in nats. Parameters: all trainable ones, tied weights once.
"""

from ..errors import unknown
from ..generators import Language, Sentences
from ..models import MaskedLM
from ..randomness import random_stream
from .estimators import gauss_newton, hutchinson, hutchpp, random_factor, residual, sampled_gradient
from .problem import check_settings, contexts_of, truth_of
from .trace_terms import Given, Method, TraceEstimate

METHODS: dict[str, Method] = {
    "sampled-gradient": sampled_gradient.METHOD,
    "random-factor": random_factor.METHOD,
    "gauss-newton": gauss_newton.METHOD,
    "gauss-newton-hutchinson": hutchinson.GAUSS_NEWTON,
    "hutchinson": hutchinson.METHOD,
    "hutch++": hutchpp.METHOD,
    "residual": residual.METHOD,
    "by-parts": residual.BY_PARTS,
}
"""By name. The first four are of the Gauss-Newton matrix, which is the Hessian where the model equals the truth."""


def hessian_trace(
    model: MaskedLM,
    sentences: Sentences,
    method: str = "sampled-gradient",
    draws: int = 1,
    seed: int = 0,
    masking: str = "one",
    *,
    probes: int = 100,
    targets: str = "sampled",
    language: Language | None = None,
) -> TraceEstimate:
    """Tr(H), H the Hessian of E_{x,t} -log f(x_t | x_-t) over all parameters, in nats per unit of parameter squared.

    One context (x, t) a sentence, t hidden at random (or several, where `masking` says so; with "next" every beginning
    of the sentence, x_t the word after it or the end); the standard error takes each of the n sentences as one draw, or
    each of the n probes. targets "exact": the loss is -sum_v p*_v log f_v, p* the truth under the language.

    method: "sampled-gradient", "random-factor" and "gauss-newton" (exact in each context) give the trace of the
    Gauss-Newton matrix, Tr(H) where f equals the truth; "hutchinson" and "hutch++" that of H itself; "residual" their
    difference; "by-parts" their sum by random-factor and residual. See the file of each in flatness/estimators.

    Raises InputError for an unknown method or targets, a masking that is not the model's, fewer than 2 sentences or
    than 1 draw, more probes than sentences, and where the truth is needed and no language is given.
    """
    if method not in METHODS:
        raise unknown("flatness method", method, METHODS)
    check_settings(model, sentences, draws, targets, masking)
    generator = random_stream(seed, "flatness", device=sentences.tokens.device)
    batch = contexts_of(model, sentences, masking, generator)
    needed = METHODS[method].truth or targets == "exact"
    truth = truth_of(language, batch, masking, method) if needed else None
    return METHODS[method].terms(model, Given(batch, generator, draws, probes, truth)).estimate
