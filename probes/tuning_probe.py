"""The base class of head and prompt tuning: one accuracy for each repeat, with further results."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from typing_extensions import override

from ..generators import Language, Task
from ..models import LanguageModel
from .frozen import ProbeAccuracy
from .method import ModelProbe, Progress
from .samples import Samples
from .tuning.labelled import over_repeats


class TuningProbe(ModelProbe):
    """A probe that measures more than its accuracy. Subclasses train it."""

    @abstractmethod
    def measured(
        self, model: LanguageModel, language: Language, task: Task, samples: Samples, progress: Progress
    ) -> Iterator[tuple[float, dict[str, float]]]:
        """Trains and measures the probe in each repeat.

        Args:
            model: a masked network, or the look-up table; stays as it is.
            language: the truth.
            task: with a posterior.
            samples: training and test texts.
            progress: called with parts done and parts in all.

        Yields:
            (accuracy, column -> further result) for each repeat.
        """

    @override
    def accuracies(
        self,
        model: LanguageModel,
        language: Language,
        task: Task,
        samples: Samples,
        progress: Progress = lambda done, total: None,
    ) -> Sequence[float]:
        return [right for right, _ in self.measured(model, language, task, samples, progress)]

    @override
    def accuracy(
        self,
        model: LanguageModel,
        language: Language,
        task: Task,
        samples: Samples,
        progress: Progress = lambda done, total: None,
    ) -> ProbeAccuracy:
        """The mean over repeats, with the further results of each repeat."""
        found = list(self.measured(model, language, task, samples, progress))
        return over_repeats([right for right, _ in found], [more for _, more in found])
