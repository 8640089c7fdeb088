"""Checks, before a command begins, that this machine has the memory it needs; estimates the time of an HMM's floor."""

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
"""The least length for which an HMM's floor is timed, the length of the timing, words; and the sentences that take no
longer together than one."""

MOST_SECONDS = 600.0
"""The longest time, in seconds, that a command may take without a warning."""


def check_model_room(name: str, language: Language, config: TrainConfig) -> None:
    """Checks that this machine's memory holds a model and, without a GPU, its training.

    Training holds the weights, their average if it keeps one, their gradient and the optimiser's state. The check skips
    training with fsdp, in which several processes share a model.

    Raises:
        TooLargeError: if it does not.
    """
    check_size(name, language.vocab_size, language.max_length)
    if config.sharding == "ddp" and not torch.cuda.is_available():
        size = (language.vocab_size, language.max_length)
        count = count_parameters(name, *size)
        moments = config.optimizer_entry.state_size(count.total, count.embeddings) / count.total
        check_size(name, *size, copies=2 + moments + (config.average is not None))


def check_sentences_room(language: Language, config: TrainConfig) -> None:
    """Checks that this machine's memory holds a batch, the adversary's sentences, and the first held-out set.

    n sentences are tokens [n, T] int64. Exact targets, and the held-out set, also need truth [m, V] float64 for m
    predictions: m = n with one hidden word, at least about p n with bernoulli:p, and at least 2 n, with V + 1 classes,
    with next. An adversary needs the inner products [n, n / 2] or [n, 7 n / 8] float64 of its sentences.

    Raises:
        TooLargeError: if it does not.
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
    """Checks that this machine's memory suffices for a floor. Warns if an HMM's floor takes over MOST_SECONDS.

    Each sentence leaves two numbers. One sentence at a time also needs the scores and the conditionals of its words.

    Raises:
        TooLargeError: if it does not.
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
    """The estimated time of the floor, extrapolated linearly from that of the same chain with TIMED words."""
    cut = HMM(language.initial, language.blocks, language.emission, TIMED, language.words)
    least = math.inf
    # The first call may include compilation.
    for _ in range(2):
        begun = time.perf_counter()
        cut.loss_floor(1, random_stream(0, "measurement"), masking)
        least = min(least, time.perf_counter() - begun)
    together = min(LANES, language.chunk_size(language.max_length), sentences)
    return least * language.max_length / TIMED * sentences / together


def as_count(number: int) -> str:
    """An integer with separators, or its power of ten if it is very long."""
    return f"{number:,}" if number < 10**15 else f"about 10^{int(number.bit_length() * math.log10(2))}"


def as_time(seconds: float) -> str:
    """Seconds in the largest unit that fits, such as "25 days"."""
    for name, size in (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600)):
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {name}"
    return f"{seconds / 60:.0f} minutes"
