"""Training objectives: losses against sampled words or against their exact conditional probabilities."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from typing_extensions import override

from ..registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

    from ..models import LanguageModel

    Excess = Callable[[Tensor, Tensor], Tensor]


class Objective(ABC):
    """A loss of the predictions in a batch. An entry is a frozen dataclass."""

    needs_truth: ClassVar[bool] = False
    """Whether the loss needs the exact conditional of each prediction."""

    @abstractmethod
    def loss(self, logits: "Tensor", words: "Tensor", truth: "Tensor | None") -> "Tensor":
        """Computes the sum of the losses of m predictions.

        Args:
            logits: the logits of the model, [m, classes].
            words: the hidden words, [m].
            truth: the exact conditionals, [m, classes] float64; None if the objective does not need them.

        Returns:
            A scalar with its graph; nats for a cross-entropy.
        """

    def least(self, truth: "Tensor") -> "Tensor | None":
        """Computes the minimum of this sum, which a model attains if its predictions equal the truth.

        Args:
            truth: the exact conditionals, [m, classes] float64.

        Returns:
            A scalar, nats; None if the excess over the minimum is not KL(truth || model). If there is a value, training
            estimates KL from its own batches; see `running_kl`.
        """
        return None

    def excess(self, model: "LanguageModel") -> "Excess | None":
        """What a prediction's loss exceeds its least with this head by, where that is not KL(truth || model).

        Args:
            model: the model whose head limits the predictions.

        Returns:
            (logits [m, classes], truth [m, classes]) -> the excesses [m]; None where saturation is a matter of KL.
        """
        return None


objectives: Registry[Objective] = Registry("targets", __name__)
"""name -> objective."""


@objectives.register("sampled")
@dataclass(frozen=True)
class Sampled(Objective):
    """Cross-entropy of the sampled words: -sum_i log f(word_i | the visible words)."""

    @override
    def loss(self, logits: "Tensor", words: "Tensor", truth: "Tensor | None") -> "Tensor":
        from torch.nn import functional as F

        return F.cross_entropy(logits, words, reduction="sum")


@objectives.register("exact")
@dataclass(frozen=True)
class Exact(Objective):
    """Cross-entropy of the truth: -sum_i sum_v p*(v) log f(v); the same expectation, without label noise."""

    needs_truth: ClassVar[bool] = True

    @override
    def loss(self, logits: "Tensor", words: "Tensor", truth: "Tensor | None") -> "Tensor":
        from torch.nn import functional as F

        assert truth is not None
        return F.cross_entropy(logits, truth.to(logits.dtype), reduction="sum")

    @override
    def least(self, truth: "Tensor") -> "Tensor | None":
        import torch

        entropies: Tensor = torch.special.entr(truth)
        return entropies.sum()


@objectives.register("squared")
@dataclass(frozen=True)
class Squared(Objective):
    """Squared error of two words as +1 and -1: sum_i 1/2 (z_1 - z_2 - y_i)^2 (Liu et al. 2022, section 6)."""

    @override
    def loss(self, logits: "Tensor", words: "Tensor", truth: "Tensor | None") -> "Tensor":
        from ..errors import InputError

        if logits.shape[1] != 2:
            raise InputError(
                f"targets 'squared' need a language of two words, but the model predicts {logits.shape[1]}; use "
                "the language brackets"
            )
        signs = 1 - 2 * words.to(logits.dtype)
        total: Tensor = (logits[:, 0] - logits[:, 1] - signs).square().sum() / 2
        return total


@objectives.register("quad")
@dataclass(frozen=True)
class Quad(Objective):
    """Half the squared distance between the logits and the truth, up to a constant (Saunshi et al. 2020).

        sum_i  |z_i|^2 / 2 - sum_v p*_i(v) z_i(v),    z = Phi^T f + b

    At the optimum the logits are the projection of p* on the row space of the head. They are not log-probabilities, so
    KL(truth || softmax(z)) does not fall to 0; what a model still lacks is |z - Pi p*|^2 / 2, with the projector Pi.
    """

    needs_truth: ClassVar[bool] = True

    @override
    def loss(self, logits: "Tensor", words: "Tensor", truth: "Tensor | None") -> "Tensor":
        assert truth is not None
        return logits.square().sum() / 2 - (truth.to(logits.dtype) * logits).sum()

    @override
    def excess(self, model: "LanguageModel") -> "Excess":
        from ..models.ops.linear_head import head_of, row_space

        basis = row_space(*head_of(model))

        def half_square(logits: "Tensor", truth: "Tensor") -> "Tensor":
            lacking: Tensor = logits.double() - truth.double() @ basis @ basis.T
            return lacking.square().sum(1) / 2

        return half_square
