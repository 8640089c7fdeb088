"""What is learned: the sampled words, or their exact truth."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from ..registry import Registry


class Objective(ABC):
    """A loss of the predictions of a batch."""

    needs_truth: ClassVar[bool] = False
    """Whether it needs the exact conditional at the places of a batch."""

    @abstractmethod
    def loss(self, logits: Tensor, words: Tensor, truth: Tensor | None) -> Tensor:
        """The sum of the loss over all predictions, nats.

        Args:
            logits: of the model, [m, classes].
            words: what stands there, [m].
            truth: the exact conditional there, [m, classes] float64; None where the objective does not need it.
        """


objectives: Registry[Objective] = Registry("targets", __name__)


@objectives.register("sampled")
@dataclass(frozen=True)
class Sampled(Objective):
    """Cross-entropy of the words that were drawn: -sum_i log f(word_i | the visible words)."""

    def loss(self, logits: Tensor, words: Tensor, truth: Tensor | None) -> Tensor:
        return F.cross_entropy(logits, words, reduction="sum")


@objectives.register("exact")
@dataclass(frozen=True)
class Exact(Objective):
    """Cross-entropy of the truth: -sum_i sum_v p*(v) log f(v), the same mean without label noise."""

    needs_truth: ClassVar[bool] = True

    def loss(self, logits: Tensor, words: Tensor, truth: Tensor | None) -> Tensor:
        assert truth is not None
        return F.cross_entropy(logits, truth.to(logits.dtype), reduction="sum")
