"""The trace of the Hessian of the pre-training loss: one function over every measure that is a trace.

Normaliser: the mean over contexts (x, t) of a loss in nats. Parameters: all trainable ones, tied weights once.
"""

from ..errors import unknown
from ..generators import Language, Sentences
from ..models import MaskedLM
from ..registry import settings_of
from .measure import Problem, TraceMeasure, flatness_measures
from .trace_terms import TraceEstimate


def trace_methods() -> list[str]:
    """The names of the measures that are a trace. The first four are of the Gauss-Newton matrix."""
    return [name for name, measure in flatness_measures.items() if issubclass(measure, TraceMeasure)]


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
    each of the n probes. targets "exact": the loss is `-sum_v p*_v log f_v`, p* the truth under the language.

    method: "sampled-gradient", "random-factor" and "gauss-newton" (exact in each context) give the trace of the
    Gauss-Newton matrix, Tr(H) where f equals the truth; "hutchinson" and "hutch++" that of H itself; "residual" their
    difference; "by-parts" their sum by random-factor and residual. See the file of each in flatness/estimators.

    Raises InputError for an unknown method or targets, a masking that is not the model's, fewer than 2 sentences or
    than 1 draw, more probes than sentences, and where the truth is needed and no language is given.
    """
    if method not in trace_methods():
        raise unknown("flatness method", method, trace_methods())
    entry = flatness_measures[method]
    given = {"draws": draws, "probes": probes, "targets": targets}
    measure = entry(**{setting.name: given[setting.name] for setting in settings_of(entry) if setting.name in given})
    assert isinstance(measure, TraceMeasure)
    return measure.trace(model, Problem(sentences, masking, seed, language))
