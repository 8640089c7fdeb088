"""Describes a language: sentences with their trees or states, lengths, statistics, floor and tasks.

`structure`, `drawn`, `default_samples` and `cost` register what is specific to a kind of language.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict
from functools import singledispatch
from typing import Any

import torch

from ...estimate import Estimate
from ...generators import HMM, PCFG, Language, Sentences, Task
from ...generators.hmm.statistics import chain_statistics
from ...generators.pcfg.ambiguity import ambiguity
from ...generators.pcfg.statistics import grammar_statistics
from ...generators.pcfg.tasks import bayes_accuracies
from ...generators.pcfg.trees import bracketed, nltk_trees
from ...randomness import random_stream
from ...system.memory import check_memory

Description = dict[str, Any]

MOST_SAMPLES, LEAST_SAMPLES = 10_000, 20
"""The most and the fewest sampled sentences by default."""

MOST_WORK = 1e9
"""The most work for the charts of all samples, in the unit of `PCFG.chart_work`: about SECONDS_OF_WORK on one core."""

SECONDS_OF_WORK, MOST_SECONDS = 20.0, 90.0
"""The time of MOST_WORK, and the time beyond which the command warns, seconds."""

PLAN_SECONDS = 5.0
"""The time of planning all passes over sentences of 400 words, seconds. It grows with the square of the length."""

MOST_CHAIN_WORK = 1e9
"""The most multiplications in one pass over all samples of an HMM, which takes about as long."""

MOST_NUMBERS = 2**27
"""The most numbers in the tables of all samples of an HMM: 1 GiB. At least two samples are taken in any case."""

STEP_BYTES, STEP_SECONDS = 6_000, 6e-5
"""Memory and time of one step of the forward algorithm over all samples, apart from what grows with their number."""

MOST_TASKS = 6
"""The most tasks that are measured. A language may have one for each position."""

MOST_CLASSES = 5
"""The most classes of a task that are named, the most frequent first."""


@singledispatch
def default_samples(language: Language) -> int:
    """The default number of sampled sentences: MOST_SAMPLES, or fewer if they would take too long."""
    return MOST_SAMPLES


@default_samples.register
def _(language: PCFG) -> int:
    """MOST_SAMPLES, or as many as MOST_WORK allows, but at least LEAST_SAMPLES."""
    return min(MOST_SAMPLES, max(LEAST_SAMPLES, int(MOST_WORK / max(1.0, language.chart_work()))))


@default_samples.register
def _(language: HMM) -> int:
    """MOST_SAMPLES, or as many as MOST_CHAIN_WORK (at least LEAST_SAMPLES) and MOST_NUMBERS (at least 2) allow."""
    able = max(LEAST_SAMPLES, int(MOST_CHAIN_WORK / _chain_work(language)))
    return min(MOST_SAMPLES, able, max(2, MOST_NUMBERS // language.floats_per_sentence(language.max_length)))


def _chain_work(language: HMM) -> int:
    """The number of multiplications in one pass over one sentence."""
    return language.max_length * (language.blocks.shape[1] * language.num_states + language.vocab_size)


@singledispatch
def cost(language: Language, samples: int) -> tuple[float, int]:
    """A rough lower bound of the (seconds, bytes) for these samples on one core; 0 if it is not known."""
    return 0.0, 0


@cost.register
def _(language: PCFG, samples: int) -> tuple[float, int]:
    # Each length among the samples has its own plan and passes.
    lengths = torch.arange(len(language.length_log_prob))
    among = (samples * language.length_log_prob.exp().cpu()).clamp(max=1)
    planned = float(among @ (lengths / 400).square().to(among.dtype))
    return SECONDS_OF_WORK * samples * language.chart_work() / MOST_WORK + PLAN_SECONDS * planned, 0


@cost.register
def _(language: HMM, samples: int) -> tuple[float, int]:
    steps, states = language.max_length, language.num_states
    seconds = SECONDS_OF_WORK * samples * _chain_work(language) / MOST_CHAIN_WORK + STEP_SECONDS * steps
    # The eigenvalues of the transition matrix take about 25 K^3 operations.
    return seconds + 25 * states**3 / 1e10, STEP_BYTES * steps + 8 * samples * steps * (states + 2)


def say_cost(language: Language, samples: int) -> None:
    """Warns if the work takes more than MOST_SECONDS.

    Raises:
        TooLargeError: if it needs more memory than there is.
    """
    seconds, needed = cost(language, samples)
    what = f"show of {samples:,} sentences of up to {language.max_length:,} words"
    remedy = "give fewer --samples, or a smaller --max-length"
    check_memory(needed, what, remedy)
    if seconds > MOST_SECONDS:
        warnings.warn(f"{what} takes about {math.ceil(seconds / 60):,} minutes on one core; {remedy}", stacklevel=2)


def describe(
    language: Language,
    name: str,
    sentences: Sentences,
    shown: int,
    seed: int,
    on_sentences: Callable[[int], object] = lambda done: None,
) -> Description:
    """The content of `satlab show`, fit for JSON.

    Args:
        language: the language to describe.
        name: the name that the user gave it.
        sentences: sentences sampled with their latent variables. Estimates are over all of them.
        shown: the number of first sentences to describe.
        seed: the seed of all further samples.
        on_sentences: called with k when the floor of k more sentences is done.

    Returns:
        name -> value. Estimates have value, stderr and n. Entropies are in nats. null is a number that is not finite.
    """
    samples, first = len(sentences), sentences[:shown]
    lengths = _lengths(language)
    special, entropy = structure(language, sentences)
    read = sentences if entropy is None else first
    log_prob = language.log_prob(read.tokens, read.lengths)
    found: Description = {
        "language": name,
        "kind": type(language).__name__,
        "max_length": language.max_length,
        "words": language.vocab_size,
        "seed": seed,
        "samples": samples,
        "sentences": _sentences(language, first, log_prob[:shown].tolist()),
        **lengths,
    }
    if entropy is None:
        entropy = Estimate.from_samples(-log_prob)
    mean = lengths["expected_length"]
    perplexity = math.exp(entropy.value / mean)
    found |= special
    found["sentence_entropy"] = entropy
    found["perplexity"] = Estimate(perplexity, perplexity * entropy.stderr / mean, entropy.n)
    floor = language.loss_floor(samples, random_stream(seed, "floor", device=language.device), "one", on_sentences)
    found["floor"] = floor
    found["tasks"] = _tasks(language, sentences, seed)
    found["more_tasks"] = max(0, len(language.tasks) - MOST_TASKS)
    described: Description = _json(found)
    return described


def _lengths(language: Language) -> Description:
    """The mean, standard deviation and distribution of the number of words."""
    lengths = language.length_log_prob.exp().tolist()
    mean = math.fsum(length * p for length, p in enumerate(lengths))
    return {
        "expected_length": mean,
        "length_sd": math.sqrt(math.fsum((length - mean) ** 2 * p for length, p in enumerate(lengths))),
        "length_probability": {length: p for length, p in enumerate(lengths) if p > 0},
    }


def _sentences(language: Language, sentences: Sentences, log_prob: list[float]) -> list[Description]:
    words = [
        [language.words[token] for token in row[:length]]
        for row, length in zip(sentences.tokens.tolist(), sentences.lengths.tolist(), strict=True)
    ]
    return [
        {"words": text, "log_prob_nats": p} | more
        for text, p, more in zip(words, log_prob, drawn(language, sentences), strict=True)
    ]


@singledispatch
def structure(language: Language, sentences: Sentences) -> tuple[Description, Estimate | None]:
    """The statistics specific to this kind of language, under their own key, and H(sentence) if they give it."""
    return {}, None


@structure.register
def _(language: PCFG, sentences: Sentences) -> tuple[Description, Estimate | None]:
    exact, sampled = grammar_statistics(language), ambiguity(language, sentences)
    numbers = asdict(exact) | {"ambiguity": asdict(sampled)}
    numbers["uncut"]["distance"] = exact.uncut.distance
    for shared in ("length_probability", "expected_length", "length_sd", "words"):
        del numbers[shared]
    open_tree = sampled.tree_given_sentence
    return {"grammar": numbers}, Estimate(exact.derivation_entropy - open_tree.value, open_tree.stderr, open_tree.n)


@structure.register
def _(language: HMM, sentences: Sentences) -> tuple[Description, Estimate | None]:
    return {"chain": asdict(chain_statistics(language))}, None


@singledispatch
def drawn(language: Language, sentences: Sentences) -> list[Description]:
    """What is shown in addition to the words of each sentence, such as its tree or states."""
    return [{}] * len(sentences)


@drawn.register
def _(language: PCFG, sentences: Sentences) -> list[Description]:
    return [{"tree": bracketed(tree)} for tree in nltk_trees(language, sentences)]


@drawn.register
def _(language: HMM, sentences: Sentences) -> list[Description]:
    return [{"states": states} for states in (sentences.latents["states"] + 1).tolist()]


def _tasks(language: Language, sentences: Sentences, seed: int) -> list[Description]:
    tasks = list(language.tasks.values())[:MOST_TASKS]
    streams = [random_stream(seed, "tasks", i, device=language.device) for i in range(len(tasks))]
    balances = [_balance(*each, sentences, language) for each in zip(tasks, streams, strict=True)]
    best = bayes_accuracies(tasks, sentences, streams)
    return [balance | {"bayes": bayes} for balance, bayes in zip(balances, best, strict=True)]


def _balance(task: Task, generator: torch.Generator, sentences: Sentences, language: Language) -> Description:
    """The classes of a task with their shares among its inputs, and the accuracy of the majority class."""
    if task.own_inputs:
        sentences = task.inputs(language, len(sentences), generator)
    labels = task.labels(sentences)
    shares = torch.bincount(labels, minlength=len(task.classes)).double() / len(sentences)
    order = shares.argsort(descending=True, stable=True)[:MOST_CLASSES].tolist()
    return {
        "name": task.name,
        "num_classes": len(task.classes),
        "classes_seen": int((shares > 0).sum()),
        "majority": Estimate.from_samples((labels == shares.argmax()).double()),
        "shares": {task.classes[c]: float(shares[c]) for c in order if shares[c] > 0},
    }


def _json(value: Any) -> Any:
    """The value with null for each number that is not finite, which JSON cannot hold."""
    if isinstance(value, Estimate):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
