"""How many features a next-word model of a language needs: the rank of log p*, and the least KL of d features."""

import warnings
from collections.abc import Iterator, Sequence

from ...errors import InputError, at_least
from ...generators import Language
from ...theory.next_word.contexts import Contexts, contexts_of
from ...theory.next_word.rank import least_kl, ranks
from .measure import Row

MOST_WORK = 2**23
"""Contexts times words times features up to which a least KL is computed: some seconds."""

ITERATIONS = 200
"""Of L-BFGS, from each of two starts."""

QUICK_CONTEXTS, QUICK_WORK, QUICK_ITERATIONS = 256, 2**17, 60
"""Contexts, their number times words times features, and iterations of what is computed before training."""

SHORT = 400
"""Words times states, or what a pass holds for a sentence otherwise, up to which a language is quickly read."""


def capacity_rows(language: Language, widths: Sequence[int], sentences: int = 100, seed: int = 0) -> Iterator[Row]:
    """The rank of log p* over contexts, then the least KL that was found for each number of features.

    Args:
        language: any language.
        widths: numbers d of features.
        sentences: how many are sampled where the language has more than 2,000 prefixes.
        seed: of the sample.

    Yields:
        A row of the ranks, and one for each width.

    Raises:
        InputError: for a width below 1, and more work than some seconds.
    """
    for d in widths:
        at_least("features", d, 1)
    contexts = contexts_of(language, sentences, seed)
    found, (m, classes) = ranks(contexts.truth), contexts.truth.shape
    about: Row = {"contexts": m, "classes": classes, "all_prefixes": contexts.listed}
    yield {"quantity": "rank of log p*", "value": found.without_bias, "with_bias": found.with_bias} | about
    for d in widths:
        yield _least(contexts, d) | about


def _least(contexts: Contexts, d: int) -> Row:
    m, classes = contexts.truth.shape
    if m * classes * d > MOST_WORK:
        raise InputError(
            f"features {d}: {m} contexts of {classes} words are more than is searched in some seconds, expected "
            f"{MOST_WORK // (m * classes)} features at most; give fewer, or a smaller language"
        )
    if d >= min(m, classes) - 1:
        return {"quantity": "least kl", "features": d, "value": 0.0, "unit": "nats"}
    value = least_kl(contexts.truth, contexts.weights, d, starts=1, iterations=ITERATIONS).value
    return {"quantity": "least kl", "features": d, "value": max(value, 0.0), "unit": "nats"}


def warn_of_width(language: Language, d: int, threshold: float, seed: int = 0) -> None:
    """Warns where a next-word model of d features cannot saturate, if that takes well under a second to see.

    On any contexts the rank of log p* is at most that on all. Only where the search leaves a KL above the threshold, on
    a sample of them, is anything said.

    Args:
        language: what the model is trained on.
        d: its features.
        threshold: the KL below which it counts as saturated, nats.
        seed: of the sample.
    """
    classes = language.vocab_size + 1
    if d >= classes - 1 or not language.positions_share_passes:
        return
    length = language.max_length
    rows = min(QUICK_CONTEXTS, QUICK_WORK // (classes * d))
    if rows < 4 * (d + 1) or language.floats_per_sentence(length) > SHORT * classes:
        return
    contexts = contexts_of(language, max(2, rows // (length + 1)), seed, most=rows)
    needed = ranks(contexts.truth).with_bias
    if len(contexts.truth) < 4 * (d + 1) or needed <= d:
        return
    least = least_kl(contexts.truth, contexts.weights, d, starts=0, iterations=QUICK_ITERATIONS).value
    if least > threshold:
        warnings.warn(
            f"{d} features cannot saturate: log p* of the next word has rank {needed}, and the least KL found with {d} "
            f"on {len(contexts.truth)} contexts is {least:.3g} nats, above {threshold:g}; take a wider model",
            stacklevel=2,
        )
