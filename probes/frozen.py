"""Measures the accuracies of several probes of frozen features, which share one extraction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language, Sentences, Task
from ..generators.named import takes_names
from ..models import LanguageModel
from .feature_store import Features, FeatureStorage
from .features import PRECISIONS, FeatureChoice, check_choices, extract
from .method import FeatureProbe, FittedProbe, Progress
from .optimum import correct
from .projection import GaussianProjection, check_projection
from .samples import Samples

Probe = tuple[str, FeatureChoice]
"""The name of a probe, and the features that it reads."""


@dataclass(frozen=True)
class ProbeAccuracy(Estimate):
    """The mean test accuracy over the repeats.

    Args:
        value: the mean, in [0, 1].
        stderr: its standard error over the repeats.
        n: the number of repeats.
        chosen: settings that the fits chose, and other results of each repeat: name -> its value in each repeat.
    """

    chosen: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)

    @property
    def l2(self) -> tuple[float, ...]:
        """The penalty in each repeat; empty for a probe without a penalty."""
        return self.chosen.get("l2", ())


@dataclass(frozen=True)
class Extraction:
    """How features are kept.

    Args:
        projection: the number of features after a Gaussian projection; no projection unless given.
        precision: float32 keeps features as the model gives them; bf16 halves their size.
        storage: where they are kept.

    Raises:
        InputError: for a width below 1, and an unknown precision.
    """

    projection: int | None = None
    precision: str = "float32"
    storage: FeatureStorage = field(default_factory=FeatureStorage)

    def __post_init__(self) -> None:
        if self.projection is not None and self.projection < 1:
            raise InputError(f"projection is {self.projection}, expected at least 1; give a larger number")
        if self.precision not in PRECISIONS:
            raise InputError(f"precision is '{self.precision}', expected one of {', '.join(PRECISIONS)}; correct it")


@takes_names
def frozen_probes(
    model: LanguageModel,
    language: Language,
    task: Task,
    methods: Mapping[str, FeatureProbe],
    choices: Sequence[FeatureChoice] = (FeatureChoice(),),
    samples: Samples = Samples(),  # noqa: B008 - a frozen dataclass
    extraction: Extraction = Extraction(),
    on_fit: Progress = lambda done, total: None,
) -> dict[Probe, ProbeAccuracy]:
    """Measures several probes on several choices of features, all extracted in one pass of the model.

    Args:
        model: the model whose features are read.
        language: the language of the task.
        task: gives the labels.
        methods: name -> probe.
        choices: the features to read.
        samples: the sentences of each repeat, drawn from `task.inputs`; the same for every model and probe.
        extraction: how features are kept.
        on_fit: called with (fits done, fits in total) after each fit.

    Returns:
        (name, choice) -> test accuracy.

    Raises:
        InputError: for a layer or position that does not exist, a projection that is not narrower than a network's
            features, features that do not fit on the disk, and a look-up table for sentences that the language cannot
            produce.
    """
    check_choices(model, choices)
    if next(model.parameters(), None) is not None:
        for choice in choices:
            check_projection(extraction.projection, choice.width(model.feature_size, model.max_length), model.name)
    probes = [(name, choice) for choice in choices for name in methods]
    found: dict[Probe, list[tuple[float, Mapping[str, float]]]] = {probe: [] for probe in probes}
    for repeat, (train, test) in enumerate(samples.draw(language, task)):
        take = _extractor(model, choices, extraction, samples.seed, repeat)
        seen, unseen = take(train), take(test)
        labels, expected = task.labels(train), task.labels(test)
        for number, (name, choice) in enumerate(probes, start=1):
            fitted: FittedProbe = methods[name].fit(seen[choice], labels, len(task.classes), samples.seed, repeat)
            found[name, choice].append((correct(fitted, unseen[choice], expected), fitted.chosen))
            on_fit(repeat * len(probes) + number, samples.seeds * len(probes))
    return {probe: _over_repeats(fits) for probe, fits in found.items()}


def _extractor(
    model: LanguageModel, choices: Sequence[FeatureChoice], extraction: Extraction, seed: int, repeat: int
) -> Callable[[Sentences], dict[FeatureChoice, Features]]:
    """A function that extracts the features of sentences, with the projection of this repeat."""
    project = None if extraction.projection is None else GaussianProjection(extraction.projection, seed, repeat)
    return lambda sentences: extract(model, sentences, choices, extraction.storage, extraction.precision, project)


def _over_repeats(fits: list[tuple[float, Mapping[str, float]]]) -> ProbeAccuracy:
    mean = Estimate.from_samples(torch.tensor([accuracy for accuracy, _ in fits], dtype=torch.float64))
    chosen = {name: tuple(of_fit[name] for _, of_fit in fits) for name in fits[0][1]}
    return ProbeAccuracy(mean.value, mean.stderr, mean.n, chosen)
