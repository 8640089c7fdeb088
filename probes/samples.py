"""The labelled sentences of a probe: each repeat has its own training and test sentences, the same for every model."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language, Sentences, Task
from ..generators.named import takes_names
from ..randomness import random_stream


@dataclass(frozen=True)
class Samples:
    """Repeats of training and test sentences; those of a repeat are a function of (seed, repeat) alone.

    Args:
        train_sentences: training sentences of each repeat.
        test_sentences: test sentences of each repeat.
        seeds: the number of repeats.
        seed: seed of the repeats.

    Raises:
        InputError: for a number below 1.
    """

    train_sentences: int = 8000
    test_sentences: int = 8000
    seeds: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("train_sentences", "test_sentences", "seeds"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1; give a larger number")

    def draw(self, language: Language, task: Task) -> Iterator[tuple[Sentences, Sentences]]:
        """Draws sentences from `task.inputs`.

        Yields:
            The (training, test) sentences of each repeat.
        """
        for repeat in range(self.seeds):
            generator = random_stream(self.seed, "probe", repeat, device=language.device)
            sentences = task.inputs(language, self.train_sentences + self.test_sentences, generator)
            yield sentences[: self.train_sentences], sentences[self.train_sentences :]


@takes_names
def majority_class(
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    seed: int = 0,
) -> Estimate:
    """Measures the test accuracy of always answering the most frequent label of the training sentences.

    Args:
        language: the language of the task.
        task: gives the labels.
        train_sentences: training sentences of each repeat.
        test_sentences: test sentences of each repeat.
        seeds: the number of repeats.
        seed: seed of the repeats.

    Returns:
        Mean and standard error over the repeats; n is their number.
    """
    samples = Samples(train_sentences, test_sentences, seeds, seed)
    accuracies = [
        (task.labels(test) == task.labels(train).mode().values).double().mean().item()
        for train, test in samples.draw(language, task)
    ]
    return Estimate.from_samples(torch.tensor(accuracies, dtype=torch.float64))
