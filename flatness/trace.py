"""The trace of the Hessian of the pre-training loss, by any registered trace measure.

The loss is the mean over contexts (x, t), in nats. The trace covers all trainable parameters; tied weights count once.
"""

from ..errors import unknown
from ..generators import Language, Sentences
from ..generators.named import takes_names
from ..models import LanguageModel
from ..registry import settings_of
from .measure import Problem, TraceMeasure, flatness_measures
from .trace_terms import TraceEstimate


def trace_methods() -> list[str]:
    """The names of the measures that are a trace."""
    return [name for name, measure in flatness_measures.items() if issubclass(measure, TraceMeasure)]


@takes_names
def hessian_trace(
    model: LanguageModel,
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
    """Tr(H), where H is the Hessian of E_{x,t} -log f(x_t | x_-t) over all trainable parameters.

    Four methods give the trace of the Gauss-Newton matrix, which equals Tr(H) if f equals the truth:
    "sampled-gradient", "random-factor", "gauss-newton-hutchinson", and "gauss-newton", which is exact in each context.
    "hutchinson" and "hutch++" give the trace of H itself. "residual" gives the difference between the two traces, and
    "by-parts" the sum of random-factor and residual. Each method is described in its file in flatness/estimators.

    Args:
        model: the model.
        sentences: each gives one context (x, t) with t hidden at random, or several if the masking hides several. With
            "next" every prefix of the sentence is a context, and x_t is the next word or the end.
        method: the name of a measure; see `trace_methods`.
        draws: words or random combinations a context, if the method has this setting.
        seed: the seed of hidden positions and random choices.
        masking: "one", "bernoulli:p" or "next", as in training.
        probes: random vectors, if the method has this setting.
        targets: "sampled", or "exact" for the loss -sum_v p*_v log f_v with the truth p* of the language.
        language: the language of the sentences, needed for the truth.

    Returns:
        The trace, in nats per squared parameter, and the share of each kind of parameter. The standard error treats
        sentences, or probes, as independent draws.

    Raises:
        InputError: for an unknown method or targets, a masking that does not fit the model, fewer than 2 sentences,
            fewer than 1 draw, more probes than sentences, or a missing language when the truth is needed.

    Example:
        >>> from satlab.generators import load_language
        >>> from satlab.models import build_model
        >>> from satlab.randomness import random_stream
        >>> language = load_language("demo-hmm")
        >>> sentences = language.sample(50, random_stream(0, "measurement"))
        >>> trace = hessian_trace(build_model("bert-1x8", language), sentences, method="gauss-newton")
        >>> trace.n, trace.value > 0, sorted(trace.blocks)
        (50, True, ['bias', 'embedding', 'norm', 'position', 'weight'])
    """
    if method not in trace_methods():
        error = unknown("flatness method", method, trace_methods())
        raise error
    entry = flatness_measures[method]
    given = {"draws": draws, "probes": probes, "targets": targets}
    measure = entry(**{setting.name: given[setting.name] for setting in settings_of(entry) if setting.name in given})
    assert isinstance(measure, TraceMeasure)
    return measure.trace(model, Problem(sentences, masking, seed, language))
