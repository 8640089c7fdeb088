"""What a probe is: its settings, what it reads and what it returns. Each probe is an entry of a registry.

A probe is one file: a frozen dataclass whose fields are its settings, registered under the name that `satlab probe
--method`, studies and rows use. See docs/extending.md.
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
"""progress(done, total) is called whenever one more part of the work is done."""


class FittedProbe(ABC):
    """A classifier that a probe has fitted to features."""

    @abstractmethod
    def predict(self, features: Tensor) -> Tensor:
        """The predicted classes [n], each in 0 .. k - 1, of features [n, d]."""

    @property
    def chosen(self) -> Mapping[str, float]:
        """Settings that the fit chose itself, such as a penalty: setting -> value."""
        return {}


@dataclass(frozen=True)
class ProbeMethod:
    """A probe: a way to measure how much of a task a model knows.

    Subclass `FeatureProbe` or `ModelProbe`. A subclass is a frozen dataclass; its fields are its settings, which it
    checks on construction.
    """

    def row_settings(self) -> dict[str, Any]:
        """Returns what names a row of this probe: its name, and every setting on which the accuracy depends.

        The rows of its baselines carry the same settings. There the name tells whose baselines they are, since their
        `method` is the baseline.
        """
        return {"method": probe_methods.name_of(self)} | asdict(self)

    def check_use(self, name: str, causal: bool, language: Language, task: Task, samples: Samples) -> None:
        """Checks that a model and a task can be probed, before anything is measured; accepts all unless overridden.

        Args:
            name: of the model.
            causal: whether it reads from left to right.
            language: that it was trained on.
            task: of the language.
            samples: the sentences.

        Raises:
            InputError: where the probe says nothing of them.
        """

    def check(self, train_sentences: int) -> None:
        """Checks the number of training sentences before anything is measured; accepts every number unless overridden.

        Raises:
            InputError: where the settings do not go with so many training sentences.
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
            seed: of the measurement; all randomness is a function of (seed, repeat).
            repeat: the number of the repeat, from 0.

        Returns:
            The fitted classifier.
        """


class ModelProbe(ProbeMethod, ABC):
    """A probe that takes the model itself, for instance to train some of its weights.

    Attributes:
        reads_table: whether the probe also measures the look-up table, which has no weights; otherwise `linear` does.
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
        """Measures the test accuracy of each repeat; the given model must stay as it is.

        Args:
            model: the checkpoint.
            language: the language of the task.
            task: gives the labels.
            samples: `samples.draw(language, task)` yields the (training, test) sentences of each repeat.
            progress: told of each part of the work.

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
    """Whether this name is registered for a probe of the model itself."""
    return name in probe_methods and issubclass(probe_methods[name], ModelProbe)


def reads_table(name: str) -> bool:
    """Whether the look-up table beside this probe is measured by the probe itself."""
    entry = probe_methods[name]
    return entry.reads_table if issubclass(entry, ModelProbe) else True


def probe_names() -> list[str]:
    """The names of all probes, feature probes first."""
    return sorted(probe_methods, key=lambda name: (is_model_probe(name), name))
