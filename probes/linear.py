"""The linear probe: how well one linear layer reads a task's label off frozen features."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language, Sentences, Task
from ..models import MaskedLM
from .adamw import AdamW
from .feature_store import Features, Storage
from .features import PRECISIONS, Reading, check_readings, extract
from .logistic.fit import Logistic
from .optimum import Optimum, correct
from .projection import GaussianProjection, check_projection
from .samples import Samples

Probe = tuple[str, Reading]
"""A method's name, and what is read."""


@dataclass(frozen=True)
class ProbeAccuracy(Estimate):
    """l2: the penalty of each repeat's optimum, none for other methods."""

    l2: tuple[float, ...] = ()


@dataclass(frozen=True)
class Extraction:
    """How features become numbers on disk.

    projection: the width that a Gaussian projection leaves, none unless given. precision: float32 keeps what the model
    gives, bf16 halves it. storage: where they are kept.
    """

    projection: int | None = None
    precision: str = "float32"
    storage: Storage = field(default_factory=Storage)

    def __post_init__(self) -> None:
        if self.projection is not None and self.projection < 1:
            raise InputError(f"projection is {self.projection}, expected at least 1; give a larger number")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is '{self.precision}', expected one of {', '.join(PRECISIONS)}; correct it")


def linear_probe(
    model: MaskedLM,
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    l2: float | None = 1e-4,
    seed: int = 0,
    method: Optimum | AdamW | None = None,
    reading: Reading = Reading(),  # noqa: B008
    extraction: Extraction = Extraction(),
    on_fit: Callable[[int, int], object] = lambda done, of: None,
) -> ProbeAccuracy:
    """Test accuracy of multinomial logistic regression on concatenated, standardised features, at its convex optimum.

        min_W  mean_i -log softmax(W h(x_i) + b)[label_i] + l2 / 2 ||W||^2

    l2 None: chosen by validation, see `Optimum`. method: Optimum(l2) unless given; AdamW() is the layer as Liu et al.
    2022 train it (section 3, A.4). Each of `seeds` repeats draws its own training and test sentences, `task.inputs`, the
    same ones for every model and method; value and stderr are over the repeats, n = seeds. on_fit(done, of) is called
    after each fit.

    Raises InputError where a number is not positive, for a layer or position that is not there, for a projection that
    is not narrower than a network's features, where features do not fit on the disk, and for the look-up table at
    inputs the language cannot produce.
    """
    samples = Samples(train_sentences, test_sentences, seeds, seed)
    found = linear_probes(model, language, task, {"": method or Optimum(l2)}, [reading], samples, extraction, on_fit)
    return found["", reading]


def linear_probes(
    model: MaskedLM,
    language: Language,
    task: Task,
    methods: Mapping[str, Optimum | AdamW],
    readings: Sequence[Reading] = (Reading(),),
    samples: Samples = Samples(),  # noqa: B008
    extraction: Extraction = Extraction(),
    on_fit: Callable[[int, int], object] = lambda done, of: None,
) -> dict[Probe, ProbeAccuracy]:
    """`linear_probe` for several methods and readings, whose features are all taken in one pass of the model."""
    check_readings(model, readings)
    if next(model.parameters(), None) is not None:
        for reading in readings:
            check_projection(extraction.projection, reading.width(model.feature_size, model.max_length), model.name)
    probes = [(name, reading) for reading in readings for name in methods]
    accuracies: dict[Probe, list[float]] = {probe: [] for probe in probes}
    penalties: dict[Probe, list[float]] = {probe: [] for probe in probes}
    for repeat, (train, test) in enumerate(samples.draw(language, task)):
        project = None
        if extraction.projection is not None:
            project = GaussianProjection(extraction.projection, samples.seed, repeat)

        def take(sentences: Sentences, project: GaussianProjection | None = project) -> dict[Reading, Features]:
            return extract(model, sentences, readings, extraction.storage, extraction.precision, project)

        seen, unseen = take(train), take(test)
        labels, asked = task.labels(train), task.labels(test)
        for number, (name, reading) in enumerate(probes, start=1):
            fitted = methods[name].fit(seen[reading], labels, len(task.classes), samples.seed, repeat)
            accuracies[name, reading].append(correct(fitted, unseen[reading], asked))
            if isinstance(fitted, Logistic):
                penalties[name, reading].append(fitted.l2)
            on_fit(repeat * len(probes) + number, samples.seeds * len(probes))
    return {probe: _over_repeats(accuracies[probe], penalties[probe]) for probe in probes}


def _over_repeats(accuracies: list[float], penalties: list[float]) -> ProbeAccuracy:
    mean = Estimate.from_samples(torch.tensor(accuracies, dtype=torch.float64))
    return ProbeAccuracy(mean.value, mean.stderr, mean.n, tuple(penalties))
