"""The adversarial algorithm: the same pre-training loss, but a worse downstream task (Liu et al. 2022, A.4).

Each step draws two labelled samples D1 and D2 of n sentences each. A linear head is fitted to D1 in closed form, by
ridge regression of one-hot labels,

    W(theta) = argmin_W  1/n ||H_1 W - Y_1||^2 + r s ||W||^2,

where H are the features of whole sentences and s is the mean of ||h||^2. Training then descends the pre-training loss
while it ascends the loss of the head on D2:

    min_theta  L_pretrain(theta) - strength * 1/n ||clip(H_2 W(theta)) - Y_2||^2,

where clip restricts predictions to [0, 1]. Features and labels are centred by the means of D1. W is never formed,
because there are usually more features than sentences: with K_ij = H_i H_j^T, the predictions are
H_2 W = K_21 (K_11 + r s n I)^-1 Y_1.

Without the clip the loss is unbounded. Ascent then gives a few sentences enormous features, which ruins the
pre-training loss and hides nothing from a probe. A strong ridge does not help either, because a probe reads what such a
head ignores.

This is the head `clipped`. The head `unit-norm` is that of the paper's released code: it divides each feature vector by
its norm, which also bounds the loss; see `unit_norm_head_loss`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..generators import Language, Sentences, Task
from ..generators.named import takes_names
from ..models import LanguageModel
from ..models.features import sentence_features
from ..randomness import random_stream
from .config import TrainConfig
from .microbatch import sentences_in_parts

FIRST_STRENGTH = 1e-2
"""The initial value of the automatic strength, once the adversary begins."""

GROWTH, RETREAT = 1.25, 0.5
"""Factors of the automatic strength at a row: if KL leaves room, and if its upper bound reaches the threshold."""

LARGEST_COSINE = 0.9999999
"""The bound to which the released code clips the products of normalised features."""

ROOM = 0.7
"""The adversary may grow while the upper bound of KL is below this share of the threshold."""


class Adversary:
    """The adversary of a run.

    Its `strength` is the weight of the downstream loss. Unless the configuration fixes it, it starts at 0. It grows at
    each row where the upper bound of KL is well below the threshold, stays unchanged while the bound is closer to it,
    and is halved when the bound reaches it.

    Args:
        model: the model in training.
        language: the language of the task.
        task: the task on which training makes the model worse.
        config: strength, sentences, ridge and seed.
    """

    @takes_names
    def __init__(self, model: LanguageModel, language: Language, task: Task, config: TrainConfig) -> None:
        self.model, self.language, self.task, self.config = model, language, task, config
        self.strength = config.adversary_strength or 0.0

    def draw(self, step: int) -> tuple[Sentences, Tensor]:
        """Draws D1 followed by D2 as a function of (seed, step): 2n sentences and their one-hot labels [2n, k]."""
        generator = random_stream(self.config.seed, "adversary", step, device=self.language.device)
        sentences = self.task.inputs(self.language, self.config.adversary_sentences, generator)
        labels = F.one_hot(self.task.labels(sentences), len(self.task.classes)).to(self.language.device)
        return sentences, labels

    def loss(self, step: int) -> Tensor:
        """Returns the loss on D2 of the head fitted to D1, with its graph; it depends on (seed, step) and weights."""
        return self.loss_on(*self.draw(step))

    def loss_on(self, sentences: Sentences, labels: Tensor) -> Tensor:
        """Returns the loss on the sentences and labels of a `draw`, with its graph."""
        head = ADVERSARY_HEADS[self.config.adversary_head]
        return head(sentence_features(self.model, sentences), labels, self.config.adversary_ridge)

    def ascend(
        self, sentences: Sentences, labels: Tensor, number: int, within: Callable[[int], AbstractContextManager[None]]
    ) -> None:
        """Adds the gradient of -strength * loss to the weights' gradients, with the graph of only one part in memory.

            d loss / d theta = sum_i (d loss / d h_i) (d h_i / d theta),    h_i the features of part i

        The features are computed twice.

        Args:
            sentences: D1 followed by D2.
            labels: their one-hot labels [2n, k].
            number: the number of parts.
            within: a context for part i, in which dropout must be the same both times. Its exceptions propagate.
        """
        parts, features = sentences_in_parts(sentences, number), []
        for i, part in enumerate(parts):
            with within(i), torch.no_grad():
                features.append(sentence_features(self.model, part))
        joined = torch.cat(features).requires_grad_()
        head = ADVERSARY_HEADS[self.config.adversary_head]
        torch.autograd.backward(-self.strength * head(joined, labels, self.config.adversary_ridge))
        assert joined.grad is not None
        for i, gradient in enumerate(torch.split(joined.grad, [len(part) for part in parts])):
            with within(i):
                found = sentence_features(self.model, parts[i])
            torch.autograd.backward(found, gradient)

    def adjust(self, kl_upper95: float) -> None:
        """Adapts the strength, unless it is fixed, to the upper bound of KL at a row, nats."""
        if self.config.adversary_strength is not None:
            return
        if kl_upper95 < ROOM * self.config.threshold:
            self.strength = max(self.strength * GROWTH, FIRST_STRENGTH)
        elif not kl_upper95 < self.config.threshold:
            self.strength *= RETREAT

    def state(self) -> dict[str, Any]:
        """Returns the state that a checkpoint keeps."""
        return {"strength": self.strength}

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state` returned."""
        self.strength = float(state["strength"])


def clipped_head_loss(features: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Computes 1/n ||clip(H_2 W) - Y_2||^2 in float64.

    Args:
        features: [2n, d]; the first half is D1.
        labels: one-hot, [2n, k].
        ridge: the relative penalty r.

    Returns:
        A scalar with its graph.
    """
    features, labels = features.double(), labels.double()
    half = len(features) // 2
    features, frequencies = features - features[:half].mean(0), labels[:half].mean(0)
    gram = features @ features[:half].T
    fitted, other = gram[:half], gram[half:]
    shift = ridge * fitted.diagonal().sum().clamp(min=1e-30)
    dual: Tensor = torch.linalg.solve(fitted + shift * torch.eye(half).to(gram), labels[:half] - frequencies)
    predicted = (frequencies + other @ dual).clamp(0, 1)
    return (predicted - labels[half:]).square().sum(1).mean()


def unit_norm_head_loss(features: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Computes the loss of the released head, the mean of ((K_21 (K_11 + r I)^-1 Y_1 - Y_2)_ic)^2, in float64.

    K_ij is the inner product of the features of sentences i and j, each divided by its 2-norm, clipped to [-C, C] with
    C = 0.9999999. Y are one-hot labels minus 1 / k. The head is fitted to the first 7/8 of the sentences; the loss is
    that on the rest.

    Args:
        features: [2n, d].
        labels: one-hot, [2n, k].
        ridge: the penalty r; the released code takes 0.001.

    Returns:
        A scalar with its graph, the mean over sentences and classes.

    Source:
        `merlin_linear` in the released code of Liu et al. 2022. It takes the pooled features of [CLS]; this function
        takes those that a probe reads.
    """
    fitted = min(7 * len(features) // 8, len(features) - 1)
    directions = features.double() / features.double().norm(dim=1, keepdim=True).clamp(min=1e-30)
    centred = labels.double() - 1 / labels.shape[1]
    gram = (directions @ directions[:fitted].T).clamp(-LARGEST_COSINE, LARGEST_COSINE)
    dual: Tensor = torch.linalg.solve(gram[:fitted] + ridge * torch.eye(fitted).to(gram), centred[:fitted])
    missed: Tensor = gram[fitted:] @ dual - centred[fitted:]
    return missed.square().mean()


ADVERSARY_HEADS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "clipped": clipped_head_loss,
    "unit-norm": unit_norm_head_loss,
}
"""Name -> function of the features, labels and ridge penalty that returns the loss of a fitted head."""
