"""The linear probe: how well one linear layer reads a task's label off frozen features."""

import math
from collections.abc import Iterator

import torch

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language, Sentences, Task
from ..models import MaskedLM
from ..randomness import random_stream
from .features import concatenated_features
from .logistic import fit_logistic


def linear_probe(
    model: MaskedLM,
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    l2: float = 1e-4,
    seed: int = 0,
) -> Estimate:
    """Test accuracy of multinomial logistic regression on concatenated, standardised features, at its convex optimum.

        min_W  mean_i -log softmax(W h(x_i) + b)[label_i] + l2 / 2 ||W||^2

    Each of `seeds` repeats draws its own training and test sentences, `task.inputs`, the same ones for every model;
    value and stderr are over the repeats, n = seeds. Liu et al. 2022 (section 3) train the same layer by AdamW.

    Raises InputError where a number is not positive, and for the look-up table at inputs the language cannot produce.
    """
    _check(train_sentences, test_sentences, seeds, l2)
    accuracies = [
        _fit(model, train, test, task, l2)
        for train, test in _samples(language, task, train_sentences, test_sentences, seeds, seed)
    ]
    return Estimate.from_samples(torch.tensor(accuracies, dtype=torch.float64))


def majority_class(
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    seed: int = 0,
) -> Estimate:
    """Test accuracy of always answering the training set's most frequent label, over the same repeats."""
    _check(train_sentences, test_sentences, seeds, 1.0)
    accuracies = [
        (task.labels(test) == task.labels(train).mode().values).double().mean().item()
        for train, test in _samples(language, task, train_sentences, test_sentences, seeds, seed)
    ]
    return Estimate.from_samples(torch.tensor(accuracies, dtype=torch.float64))


def _samples(
    language: Language, task: Task, train_sentences: int, test_sentences: int, seeds: int, seed: int
) -> Iterator[tuple[Sentences, Sentences]]:
    for repeat in range(seeds):
        generator = random_stream(seed, "probe", repeat, device=language.device)
        sentences = task.inputs(language, train_sentences + test_sentences, generator)
        yield sentences[:train_sentences], sentences[train_sentences:]


def _fit(model: MaskedLM, train: Sentences, test: Sentences, task: Task, l2: float) -> float:
    probe = fit_logistic(concatenated_features(model, train), task.labels(train), len(task.classes), l2)
    predicted = probe.predict(concatenated_features(model, test))
    return (predicted == task.labels(test)).double().mean().item()


def _check(train_sentences: int, test_sentences: int, seeds: int, l2: float) -> None:
    for name, value in (("train_sentences", train_sentences), ("test_sentences", test_sentences), ("seeds", seeds)):
        if value < 1:
            raise InputError(f"{name} is {value}, expected at least 1; give a larger number")
    if not 0 < l2 < math.inf:
        raise InputError(f"l2 is {l2}, expected a positive number; correct it")
