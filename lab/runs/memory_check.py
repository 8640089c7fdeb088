"""Whether a training run can fit into this machine's memory, by what it needs at the least; nothing is allocated."""

import math

import torch

from ...generators import Language
from ...generators.masking import NEXT, read_masking
from ...models.build import check_size, size_of
from ...models.count import count_of
from ...system.memory import check_memory
from ...train import TrainConfig

WORD, PROBABILITY = 8, 8
"""Bytes of a word of a sentence (int64) and of an exact probability (float64)."""


def check_model_room(name: str, language: Language, config: TrainConfig) -> None:
    """Raises TooLargeError where the model cannot be built here or, where there is no GPU, not be trained here.

    Training holds the weights, their gradient and the optimiser's moments; several processes that share a model, less.
    """
    check_size(name, language.vocab_size, language.max_length)
    if config.sharding == "ddp" and not torch.cuda.is_available():
        size = (language.vocab_size, language.max_length)
        count = count_of(*size_of(name), *size)
        moments = config.optimizer_entry.state_size(count.total, count.embeddings) / count.total
        check_size(name, *size, copies=2 + moments)


def check_sentences_room(language: Language, config: TrainConfig) -> None:
    """Raises TooLargeError where a batch, the adversary's, or the first held-out set cannot be held here.

    n sentences are tokens [n, T] int64, and exact targets, as those of the held-out set, truth [m, V] float64, with m >= n
    predictions, m about p n at the least under bernoulli:p, and m >= 2 n, of V + 1 classes, where each next word is one.
    An adversary takes the inner products [n, n / 2] float64 of its sentences' features.
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
        products = PROBABILITY * n * (n // 2)
        check_memory(WORD * n * language.max_length + products, what, "take fewer", gpus=True)
