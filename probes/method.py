"""The interface of a probe: its settings, its input and its result, with the registry of all probes.

A probe is a frozen dataclass whose fields are its settings. Its registered name is the one used in
`satlab probe --method`, in studies and in rows of results. See docs/extending.md.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..estimate import Estimate
from ..generators import Language, Task
from ..models import LanguageModel
from ..registry import Registry
from .feature_store import Features
from .samples import Samples

Progress = Callable[[int, int], object]
"""progress(done, total) is called whenever another part of the work is done."""


class FittedProbe(ABC):
    """A classifier that a probe has fitted to features."""

    @abstractmethod
    def predict(self, features: Tensor) -> Tensor:
        """The predicted classes [n], each in 0 .. k - 1, of features [n, d]."""

    @property
    def chosen(self) -> Mapping[str, float]:
        """Settings that the fit chose, such as a penalty: setting -> value."""
        return {}


@dataclass(frozen=True)
class ProbeMethod:
    """A probe: a way to measure how much of a task a model knows.

    Subclass `FeatureProbe` or `ModelProbe`. A subclass is a frozen dataclass; its fields are its settings, checked at
    construction.
    """

    def row_settings(self) -> dict[str, Any]:
        """Returns the columns that identify a row of this probe: its name, and all settings that affect the accuracy.

        The rows of its baselines have the same settings. Their column `method` is the baseline, so only the settings
        tell which probe they belong to.
        """
        return {"method": probe_methods.name_of(self)} | asdict(self)

    def check_use(self, name: str, causal: bool, language: Language, task: Task, samples: Samples) -> None:
        """Checks, before anything is measured, that the probe suits a model and a task. Accepts all unless overridden.

        Args:
            name: the name of the model.
            causal: whether the model reads from left to right.
            language: the language on which it was trained.
            task: a task of the language.
            samples: the sentences.

        Raises:
            InputError: if the probe does not apply to them.
        """

    def check(self, train_sentences: int) -> None:
        """Checks the number of training sentences before anything is measured. Accepts every number unless overridden.

        Raises:
            InputError: if the settings do not fit this number of training sentences.
        """


class FeatureProbe(ProbeMethod, ABC):
    """A probe that fits a classifier to frozen features.

    All feature probes of a checkpoint share one extraction. `--layer`, `--position`, `--projection` and `--precision`
    apply to each of them.
    """

    @abstractmethod
    def fit(self, features: Features, labels: Tensor, num_classes: int, seed: int = 0, repeat: int = 0) -> FittedProbe:
        """Fits a classifier.

        Args:
            features: [n, d], in memory or in a file; read them by `in_order` or `batches`.
            labels: [n], each in 0 .. num_classes - 1.
            num_classes: the number k of classes of the task.
            seed: the seed of the measurement. All randomness is a function of (seed, repeat).
            repeat: the number of the repeat, from 0.

        Returns:
            The fitted classifier.
        """


class ModelProbe(ProbeMethod, ABC):
    """A probe that takes the model itself, for instance to train some of its weights.

    Attributes:
        reads_table: whether the probe can also measure the look-up table, which has no weights; if not, `linear` does.
    """

    reads_table: ClassVar[bool] = False

    @abstractmethod
    def accuracies(
        self,
        model: LanguageModel,
        language: Language,
        task: Task,
        samples: Samples,
        progress: Progress = lambda done, total: None,
    ) -> Sequence[float]:
        """Measures the test accuracy of each repeat. Must not change the given model.

        Args:
            model: the checkpoint.
            language: the language of the task.
            task: gives the labels.
            samples: `samples.draw(language, task)` yields the (training, test) sentences of each repeat.
            progress: called after each part of the work.

        Returns:
            One accuracy in [0, 1] per repeat.
        """

    def accuracy(
        self,
        model: LanguageModel,
        language: Language,
        task: Task,
        samples: Samples,
        progress: Progress = lambda done, total: None,
    ) -> Estimate:
        """The mean test accuracy over the repeats, with its standard error; n is the number of repeats."""
        found = self.accuracies(model, language, task, samples, progress)
        return Estimate.from_samples(torch.tensor(found, dtype=torch.float64))


probe_methods: Registry[ProbeMethod] = Registry("probe method", "satlab.probes")
"""name -> probe."""


def is_model_probe(name: str) -> bool:
    """Whether this is the name of a registered `ModelProbe`."""
    return name in probe_methods and issubclass(probe_methods[name], ModelProbe)


def reads_table(name: str) -> bool:
    """Whether the probe itself measures the look-up table with which it is compared."""
    entry = probe_methods[name]
    return entry.reads_table if issubclass(entry, ModelProbe) else True


def probe_names() -> list[str]:
    """The names of all probes, feature probes first."""
    return sorted(probe_methods, key=lambda name: (is_model_probe(name), name))
