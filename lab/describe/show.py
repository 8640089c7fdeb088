"""A language described in numbers: sentences with their trees or states, lengths, statistics, floor and tasks.

What all languages share is asked of any; what is special to a kind is registered with `structure` and `drawn`.
"""

import math
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

Description = dict[str, Any]

MOST_SAMPLES, LEAST_SAMPLES = 10_000, 20
"""Sampled sentences where nothing else is said."""

MOST_WORK = 1e9
"""Of the charts of so many samples, in `PCFG.chart_work`: about 20 seconds on one core for all that is shown."""

MOST_TASKS = 6
"""Tasks that are measured; a language may have one for each position."""

MOST_CLASSES = 5
"""Classes of a task that are named, the most frequent first."""


@singledispatch
def default_samples(language: Language) -> int:
    """How many sentences to sample where nothing else is said."""
    return MOST_SAMPLES


@default_samples.register
def _(language: PCFG) -> int:
    """MOST_SAMPLES, or fewer as long as their charts take more than MOST_WORK; at least LEAST_SAMPLES."""
    return min(MOST_SAMPLES, max(LEAST_SAMPLES, int(MOST_WORK / max(1.0, language.chart_work()))))


def describe(
    language: Language,
    name: str,
    sentences: Sentences,
    shown: int,
    seed: int,
    on_sentences: Callable[[int], object] = lambda done: None,
) -> Description:
    """Everything `satlab show` prints, as what JSON can hold: null stands for what is infinite.

    sentences: sampled with their latents; the first `shown` of them are in it. Estimates are value, stderr and n, over
    as many sentences; entropies in nats. on_sentences(k) is called when the floor of k more sentences is done.
    """
    samples, first = len(sentences), sentences[:shown]
    lengths = language.length_log_prob.exp().tolist()
    mean = math.fsum(length * p for length, p in enumerate(lengths))
    found: Description = {
        "language": name,
        "kind": type(language).__name__,
        "max_length": language.max_length,
        "words": language.vocab_size,
        "seed": seed,
        "samples": samples,
        "sentences": _sentences(language, first),
        "expected_length": mean,
        "length_sd": math.sqrt(math.fsum((length - mean) ** 2 * p for length, p in enumerate(lengths))),
        "length_probability": {length: p for length, p in enumerate(lengths) if p > 0},
    }
    special, entropy = structure(language, sentences)
    if entropy is None:
        entropy = Estimate.from_samples(-language.log_prob(sentences.tokens, sentences.lengths))
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


def _sentences(language: Language, sentences: Sentences) -> list[Description]:
    log_prob = language.log_prob(sentences.tokens, sentences.lengths).tolist()
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
    """What is special to this kind of language, under a key of its own, and H(sentence) where it comes with it."""
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
    """What is shown beside each sentence."""
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
    """The shares of a task's classes among its inputs."""
    if task.own_inputs:
        sentences = task.inputs(language, len(sentences), generator)
    labels = task.labels(sentences)
    shares = torch.bincount(labels, minlength=len(task.classes)).double() / len(sentences)
    order = shares.argsort(descending=True, stable=True)[:MOST_CLASSES].tolist()
    return {
        "name": task.name,
        "num_classes": len(task.classes),
        "majority": Estimate.from_samples((labels == shares.argmax()).double()),
        "shares": {task.classes[c]: float(shares[c]) for c in order if shares[c] > 0},
    }


def _json(value: Any) -> Any:
    """The value with what JSON has no number for as null."""
    if isinstance(value, Estimate):
        value = asdict(value)
    if isinstance(value, dict):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
