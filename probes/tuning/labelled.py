"""The labelled texts of head and prompt tuning, redrawn while all have one label, and accuracies by margin."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...estimate import Estimate
from ...generators import Language, Sentences, Task
from ...generators.hmm.tasks import PosteriorArgmax
from ...randomness import random_stream
from ..frozen import ProbeAccuracy
from ..projection import REDRAW
from ..samples import Samples

REDRAWS = 20
"""How often a repeat's sentences are redrawn if all have one label, as in the released code."""

MARGINS = (1e-4, 1e-2)
"""Accuracy is also reported by the margin of the label: below the first value, between the two, above the second."""

BANDS = ("accuracy_margin_below_1e-4", "accuracy_margin_1e-4_to_1e-2", "accuracy_margin_above_1e-2")


@dataclass(frozen=True)
class Labelled:
    """The training and test texts of a repeat, with their labels.

    Args:
        train: n training sentences.
        labels: the labels of the training sentences, [n].
        test: m test sentences.
        expected: the labels of the test sentences, [m].
        repeat: the number of the repeat.
    """

    train: Sentences
    labels: Tensor
    test: Sentences
    expected: Tensor
    repeat: int


def labelled(samples: Samples, language: Language, task: Task) -> Iterator[Labelled]:
    """Draws the repeats. Unless a redraw is needed, the sentences are those of all other probes.

    Args:
        samples: the numbers of sentences and repeats, and the seed.
        language: the language of the task.
        task: gives the labels.

    Yields:
        Each repeat.

    Raises:
        InputError: if all training texts still have one label after 20 redraws.
    """
    for repeat, (train, test) in enumerate(samples.draw(language, task)):
        labels = task.labels(train)
        attempt = 0
        while len(labels.unique()) < 2:
            if attempt == REDRAWS:
                raise InputError(
                    f"task '{task.name}' gives all {len(labels)} training texts one label, also after {REDRAWS} "
                    "redraws, expected two labels; give more train_sentences, or a language of another seed"
                )
            generator = random_stream(samples.seed, "probe", repeat, REDRAW, attempt, device=language.device)
            drawn = task.inputs(language, samples.train_sentences + samples.test_sentences, generator)
            train, test = drawn[: samples.train_sentences], drawn[samples.train_sentences :]
            labels, attempt = task.labels(train), attempt + 1
        yield Labelled(train, labels, test, task.labels(test), repeat)


def check_labels(samples: Samples, language: Language, task: Task) -> None:
    """Raises InputError as `labelled` does."""
    for _ in labelled(samples, language, task):
        pass


def check_posterior(language: Language, task: Task) -> None:
    """Checks that the task's label is a function of a posterior given the text.

    Raises:
        InputError: for another task.
    """
    if not callable(getattr(task, "posterior", None)):
        known = [name for name, one in language.tasks.items() if callable(getattr(one, "posterior", None))]
        has = f"one of {', '.join(known)}" if known else "a language with such a task, for example wei2021-hmm"
        raise InputError(f"task '{task.name}' is not a function of a posterior, expected one that is; choose {has}")


def by_margin(task: Task, sentences: Sentences, right: Tensor) -> dict[str, float]:
    """Accuracy by margin.

    Args:
        task: the task that gives the labels.
        sentences: m test sentences.
        right: whether each is classified correctly, [m] bool.

    Returns:
        BANDS -> accuracy, nan for a band without a text, and the share of texts below the first margin; empty for a
        task without margins.
    """
    if not isinstance(task, PosteriorArgmax):
        return {}
    margin = task.margins(sentences)
    places = torch.bucketize(margin, torch.tensor(MARGINS, dtype=margin.dtype, device=margin.device))
    found = {
        name: float(right[places == band].double().mean()) if bool((places == band).any()) else float("nan")
        for band, name in enumerate(BANDS)
    }
    return found | {"share_margin_below_1e-4": float((places == 0).double().mean())}


def over_repeats(accuracies: list[float], more: list[Mapping[str, float]]) -> ProbeAccuracy:
    """The mean accuracy over repeats, with the further results of each repeat."""
    mean = Estimate.from_samples(torch.tensor(accuracies, dtype=torch.float64))
    columns = {name: tuple(of_repeat[name] for of_repeat in more) for name in more[0]} if more else {}
    return ProbeAccuracy(mean.value, mean.stderr, mean.n, columns)
