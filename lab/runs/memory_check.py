"""What a command needs at the least, before it begins: memory, which may not be here, and a floor's time."""

import math
import time
import warnings

import torch

from ...generators import HMM, Language
from ...generators.masking import NEXT, read_masking
from ...models.build import check_size
from ...models.ladder import count_parameters
from ...randomness import random_stream
from ...system.memory import check_memory
from ...train import TrainConfig

WORD, PROBABILITY = 8, 8
"""Bytes of a word of a sentence (int64) and of an exact probability (float64)."""

LONG, TIMED, LANES = 2**16, 2**12, 8
"""Words from which on an HMM's floor is timed, words it is timed at, and sentences that cost no more than one."""

MOST_SECONDS = 600.0
"""What a command may take without saying so."""


def check_model_room(name: str, language: Language, config: TrainConfig) -> None:
    """Checks that memory here holds a model and, where there is no GPU, its training.

    Training holds the weights, their average if it keeps one, their gradient and the optimiser's moments; several
    processes that share a model, less.

    Raises:
        TooLargeError: where it does not.
    """
    check_size(name, language.vocab_size, language.max_length)
    if config.sharding == "ddp" and not torch.cuda.is_available():
        size = (language.vocab_size, language.max_length)
        count = count_parameters(name, *size)
        moments = config.optimizer_entry.state_size(count.total, count.embeddings) / count.total
        check_size(name, *size, copies=2 + moments + (config.average is not None))


def check_sentences_room(language: Language, config: TrainConfig) -> None:
    """Checks that memory here holds a batch, the adversary's, and the first held-out set.

    n sentences are tokens [n, T] int64. Exact targets, as those of the held-out set, are truth [m, V] float64, with m
    >= n predictions; m is about p n at the least under bernoulli:p, and m >= 2 n, of V + 1 classes, where each next
    word is predicted. An adversary takes the inner products [n, n / 2] or [n, 7 n / 8] float64 of its sentences.

    Raises:
        TooLargeError: where it does not.
    """
    kind, rate = read_masking(config.masking or "one")
    share = {"one": 1.0, "bernoulli": rate, NEXT: 2.0}[kind]
    classes = language.vocab_size + (kind == NEXT)
    for name, with_truth in (("batch_size", config.objective.needs_truth), ("evaluation_sentences", True)):
        n: int = getattr(config, name)
        truth = PROBABILITY * math.floor(n * share) * classes if with_truth else 0
        what = f"{name} is {n}, of up to {language.max_length} words out of {language.vocab_size}"
        check_memory(WORD * n * language.max_length + truth, what, "take fewer", gpus=True)
    if config.adversary_task is not None:
        n = config.adversary_sentences
        what = f"adversary_sentences is {n}, of up to {language.max_length} words"
        products = PROBABILITY * n * (n // 2 if config.adversary_head == "clipped" else 7 * n // 8)
        check_memory(WORD * n * language.max_length + products, what, "take fewer", gpus=True)


def check_floor_room(language: Language, sentences: int, masking: str) -> None:
    """Checks that memory here holds a floor's sentences; warns where an HMM's floor takes over MOST_SECONDS.

    Each of n sentences leaves two numbers. One at a time is held with the scores and the conditionals of its words.

    Raises:
        TooLargeError: where it does not.
    """
    length, words = language.max_length, language.vocab_size
    check_memory(2 * PROBABILITY * sentences, f"sentences is {as_count(sentences)}", "give fewer")
    held = PROBABILITY * (language.floats_per_sentence(length) + 2 * length * words)
    check_memory(held, f"a sentence of {length:,} words out of {words:,}", "give a smaller --max-length")
    if isinstance(language, HMM) and length >= LONG:
        seconds = _floor_seconds(language, sentences, masking)
        if seconds > MOST_SECONDS:
            warnings.warn(
                f"{sentences:,} sentences of {length:,} words take about {as_time(seconds)} here; give fewer "
                "--sentences or a smaller --max-length",
                stacklevel=2,
            )


def _floor_seconds(language: HMM, sentences: int, masking: str) -> float:
    """About how long the floor takes, by that of the same chain cut to TIMED words: the time grows with the words."""
    cut = HMM(language.initial, language.blocks, language.emission, TIMED, language.words)
    least = math.inf
    # The first compiles what is not yet.
    for _ in range(2):
        begun = time.perf_counter()
        cut.loss_floor(1, random_stream(0, "measurement"), masking)
        least = min(least, time.perf_counter() - begun)
    together = min(LANES, language.chunk_size(language.max_length), sentences)
    return least * language.max_length / TIMED * sentences / together


def as_count(number: int) -> str:
    """A whole number as people read it; of one that is very long, the power of ten."""
    return f"{number:,}" if number < 10**15 else f"about 10^{int(number.bit_length() * math.log10(2))}"


def as_time(seconds: float) -> str:
    """Seconds as people read them: 25 days."""
    for name, size in (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds / 60:.0f} minutes"
