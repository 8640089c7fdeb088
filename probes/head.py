"""Head tuning: a linear head on a frozen model's output at a mask before the text (Wei, Xie and Ma 2021)."""

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from ..errors import InputError
from ..generators import Language, Sentences, Task
from ..models import LanguageModel, build_model
from ..randomness import random_stream
from .logistic.raw import fit_raw
from .method import FittedProbe, Progress, probe_methods
from .projection import HEAD
from .released import Released, initial_head
from .samples import Samples
from .tuning.labelled import by_margin, check_labels, check_posterior, labelled
from .tuning.layout import Layout, check_masked
from .tuning.readings import check_reads, is_table, read
from .tuning_probe import TuningProbe


@dataclass(frozen=True)
class RawLinear(FittedProbe):
    """argmax_c (W h + b)_c on raw features: weight W [k, d], bias b [k]."""

    weight: Tensor
    bias: Tensor

    @override
    def predict(self, features: Tensor) -> Tensor:
        return (features.to(self.weight) @ self.weight.T + self.bias).argmax(1)


class HeadProbe(TuningProbe):
    """A head on features that a frozen model computes once. Subclasses choose the features and fit the head."""

    reads_table = True

    @abstractmethod
    def read_of(self, model: LanguageModel, sentences: Sentences) -> Tensor:
        """What the head reads of n sentences, [n, ...]."""

    def beside(self, model: LanguageModel, language: Language, sentences: Sentences, found: Tensor) -> dict[str, float]:
        """Further results of a repeat, in addition to the accuracy; none unless overridden.

        Args:
            model: the model.
            language: the truth.
            sentences: the test sentences.
            found: what the head reads from the model for them.

        Returns:
            column -> value.
        """
        return {}

    @abstractmethod
    def fit_head(
        self, features: Tensor, labels: Tensor, classes: int, seed: int, repeat: int, on_epoch: Callable[[int], object]
    ) -> FittedProbe:
        """Fits a head.

        Args:
            features: [n, ...], as `read_of` returns them.
            labels: [n].
            classes: the number k of classes.
            seed: all randomness is a function of (seed, repeat).
            repeat: the number of the repeat.
            on_epoch: called with the number of epochs done.

        Returns:
            The head.
        """

    @override
    def check_use(self, name: str, causal: bool, language: Language, task: Task, samples: Samples) -> None:
        check_masked(causal, name)
        Layout(language.max_length)
        check_posterior(language, task)
        check_labels(samples, language, task)

    @property
    def parts(self) -> int:
        """The number of parts in which a repeat reports its progress."""
        return 1

    @override
    def measured(
        self, model: LanguageModel, language: Language, task: Task, samples: Samples, progress: Progress
    ) -> Iterator[tuple[float, dict[str, float]]]:
        check_masked(model.causal, model.name)
        check_posterior(language, task)
        for one in labelled(samples, language, task):

            def on_epoch(done: int, before: int = one.repeat * self.parts) -> None:
                progress(before + done, samples.seeds * self.parts)

            seen, unseen = self.read_of(model, one.train), self.read_of(model, one.test)
            head = self.fit_head(seen, one.labels, len(task.classes), samples.seed, one.repeat, on_epoch)
            right = head.predict(unseen) == one.expected
            more = by_margin(task, one.test, right) | self.beside(model, language, one.test, unseen)
            yield float(right.double().mean()), more


def distances(
    model: LanguageModel, language: Language, sentences: Sentences, reads: str, found: Tensor
) -> dict[str, float]:
    """The distances between the model's G_0 and the exact one, which the released code logs as pre-training errors.

    Args:
        model: the model.
        language: the truth.
        sentences: m texts.
        reads: the reading in `found`; distances are defined for "words" only.
        found: G_0 [m, V].

    Returns:
        tv_posterior, the mean over texts of 1/2 sum_v |G_0(v) - p(v)|, and l2_posterior, the mean of the 2-norm. Empty
        for other readings and for the look-up table.
    """
    if reads != "words" or is_table(model):
        return {}
    table = build_model("lookup", language).to(language.device)
    error = found - read(table, sentences, "words")
    return {
        "tv_posterior": float(error.abs().sum(1).mean() / 2),
        "l2_posterior": float(error.square().sum(1).sqrt().mean()),
    }


class MaskHeadProbe(HeadProbe):
    """A linear head on the model's output at a mask before the text. The setting `reads` selects the output."""

    reads: str

    @override
    def read_of(self, model: LanguageModel, sentences: Sentences) -> Tensor:
        return read(model, sentences, self.reads)

    @override
    def beside(self, model: LanguageModel, language: Language, sentences: Sentences, found: Tensor) -> dict[str, float]:
        return distances(model, language, sentences, self.reads, found)


@probe_methods.register("head")
@dataclass(frozen=True)
class Head(MaskHeadProbe):
    """A linear head at its convex optimum on the model's output at a mask before the text.

        min_(W, b)  mean_i -log softmax(W h_i + b)[y_i] + ridge / 2 ||W||^2

    The features h are not standardised. The weak ridge approximates a fit without penalty. The model reads the mask and
    as many words of the text as it has further positions.

    Args:
        reads: what the head reads: words (the predicted distribution of the mask), logits, feature, or pooled (the mean
            over the text of the predicted distributions, each word masked in turn).
        ridge: strength of the penalty; 4e-7 is C = 1,000 in scikit-learn's words with 5,000 texts of two classes.

    Raises:
        InputError: for another reading, and a ridge that is not positive.

    Source: Wei, Xie and Ma 2021, 2106.09226, section 5, where the head is trained as by `head-adamw`.
    """

    reads: str = "words"
    ridge: float = 4e-7

    def __post_init__(self) -> None:
        check_reads(self.reads)
        if not 0 < self.ridge < float("inf"):
            raise InputError(f"ridge is {self.ridge}, expected a positive number; correct it")

    @override
    def fit_head(
        self,
        features: Tensor,
        labels: Tensor,
        classes: int,
        seed: int,
        repeat: int,
        on_epoch: Callable[[int], object] = lambda done: None,
    ) -> FittedProbe:
        fitted = fit_raw(features, labels, classes, self.ridge)
        on_epoch(1)
        return fitted


@probe_methods.register("head-adamw")
@dataclass(frozen=True)
class HeadAdamW(Released, MaskHeadProbe):
    """The head as the released code trains it, on what `head` reads.

    AdamW with lr 0.01, 100 epochs, batches of 128, a linear warm-up over 500 steps (at most an eighth of all steps), a
    linear decay to 0, no weight decay, and gradients clipped to norm 1. Weights start from N(0, 0.02^2), biases from 0.

    Args:
        reads: what the head reads; see `head`.

    Source: Wei, Xie and Ma 2021, 2106.09226, section 5 and its released code.
    """

    reads: str = "words"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_reads(self.reads)

    @property
    @override
    def parts(self) -> int:
        return self.epochs

    @override
    def fit_head(
        self,
        features: Tensor,
        labels: Tensor,
        classes: int,
        seed: int,
        repeat: int,
        on_epoch: Callable[[int], object] = lambda done: None,
    ) -> FittedProbe:
        generator = random_stream(seed, "probe", repeat, HEAD)
        weight, bias = (
            nn.Parameter(part.data.to(labels.device)) for part in initial_head(classes, features.shape[1], generator)
        )
        x = features.to(weight.dtype)

        self.train([weight, bias], lambda rows: F.linear(x[rows], weight, bias), labels, generator, on_epoch)
        return RawLinear(weight.detach(), bias.detach())
