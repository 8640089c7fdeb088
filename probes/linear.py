"""The linear probe: how well one linear layer reads a task's label from frozen features."""

from ..generators import Language, Task
from ..generators.named import takes_names
from ..models import LanguageModel
from .features import FeatureChoice
from .frozen import Extraction, ProbeAccuracy, frozen_probes
from .method import FeatureProbe, Progress
from .optimum import Optimum
from .samples import Samples


@takes_names
def linear_probe(
    model: LanguageModel,
    language: Language,
    task: Task,
    train_sentences: int = 8000,
    test_sentences: int = 8000,
    seeds: int = 3,
    l2: float | None = 1e-4,
    seed: int = 0,
    method: FeatureProbe | None = None,
    choice: FeatureChoice = FeatureChoice(),  # noqa: B008 - a frozen dataclass
    extraction: Extraction = Extraction(),  # noqa: B008 - a frozen dataclass
    on_fit: Progress = lambda done, total: None,
) -> ProbeAccuracy:
    """Measures the test accuracy of multinomial logistic regression on the concatenated, standardised features.

        min_(W, b)  mean_i -log softmax(W h(x_i) + b)[label_i] + l2 / 2 ||W||^2,  at its convex optimum

    Each repeat draws its own training and test sentences from `task.inputs`, the same for every model and method.

    Args:
        model: the model whose features are read.
        language: the language of the task.
        task: gives the labels.
        train_sentences: sentences to which the probe is fitted, in each repeat.
        test_sentences: sentences on which its accuracy is measured, in each repeat.
        seeds: number of repeats.
        l2: the penalty; None chooses it by validation, see `Optimum`.
        seed: seed of the repeats.
        method: the probe to use instead of Optimum(l2), for example AdamW(), as in Liu et al. 2022 (section 3, A.4).
        choice: the features to read; all unless given.
        extraction: how features are kept.
        on_fit: called with (fits done, fits in total) after each fit.

    Returns:
        Mean and standard error over the repeats; n is their number.

    Raises:
        InputError: for a number that is not positive, and as `frozen_probes` does.

    Example:
        The features of the look-up table are the conditionals of the truth:

        >>> from satlab.generators import find_task, load_language
        >>> from satlab.models import build_model
        >>> language = load_language("demo-hmm")
        >>> task = find_task(language, "state-1")
        >>> accuracy = linear_probe(build_model("lookup", language), language, task, train_sentences=500)
        >>> accuracy.n, 0.5 < accuracy.value < 1
        (3, True)
    """
    return frozen_probes(
        model,
        language,
        task,
        {"": method or Optimum(l2)},
        choices=[choice],
        samples=Samples(train_sentences, test_sentences, seeds, seed),
        extraction=extraction,
        on_fit=on_fit,
    )["", choice]
