"""The adversarial algorithm: the same pre-training loss, but a worse downstream task (Liu et al. 2022, A.4).

Each step draws two disjoint labelled samples D1 and D2 of n sentences. A linear head is fitted to D1 in closed form, by
ridge regression of one-hot labels,

    W(theta) = argmin_W  1/n ||H_1 W - Y_1||^2 + r s ||W||^2,

where H are the features of whole sentences and s is the mean of ||h||^2. Training then ascends the loss of the head on
D2 while it descends the pre-training loss:

    min_theta  L_pretrain(theta) - strength * 1/n ||clip(H_2 W(theta)) - Y_2||^2,

where clip restricts predictions to [0, 1]. Features and labels are centred by the means of D1. There are far more
features than sentences, so W is never formed: with K_ij = H_i H_j^T, the predictions are H_2 W = K_21 (K_11 + r s n)^-1
Y_1.

Without the clip the loss is unbounded, and ascent takes the cheapest way up: a few sentences with enormous features,
which ruin the pre-training loss and hide nothing from a probe. A strong ridge is of little use for a like reason: a
probe reads what such a head ignores.

That is the head `clipped`. The head `unit-norm` is that of the paper's released code: each feature vector is divided by
its norm, which bounds the ascent too; see `unit_norm_head_loss`.
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
"""The automatic strength at which the adversary begins."""

GROWTH, RETREAT = 1.25, 0.5
"""Factors of the automatic strength: at a row where KL leaves room, and at a row that is not saturated."""

LARGEST_COSINE = 0.9999999
"""Where the released code cuts the products of normalised features."""

ROOM = 0.7
"""Share of the threshold below which the upper bound of KL leaves room for a stronger adversary."""


class Adversary:
    """The adversary of a run.

    Its `strength` is the weight of the downstream loss. Unless the configuration fixes it, it is 0 until the upper
    bound of KL is well below the threshold. It then grows as long as this holds, stays where the bound is near the
    threshold, and is halved where the model is not saturated.

    Args:
        model: the model in training.
        language: the language of the task.
        task: the task that training makes worse.
        config: strength, sentences, ridge and seed.
    """

    @takes_names
    def __init__(self, model: LanguageModel, language: Language, task: Task, config: TrainConfig) -> None:
        self.model, self.language, self.task, self.config = model, language, task, config
        self.strength = config.adversary_strength or 0.0

    def draw(self, step: int) -> tuple[Sentences, Tensor]:
        """Returns D1 followed by D2, a function of (seed, step): 2n sentences and their one-hot labels [2n, k]."""
        generator = random_stream(self.config.seed, "adversary", step, device=self.language.device)
        sentences = self.task.inputs(self.language, self.config.adversary_sentences, generator)
        labels = F.one_hot(self.task.labels(sentences), len(self.task.classes)).to(self.language.device)
        return sentences, labels

    def loss(self, step: int) -> Tensor:
        """Returns the loss on D2 of the head fitted to D1, with its graph; it depends on (seed, step) and weights."""
        return self.loss_on(*self.draw(step))

    def loss_on(self, sentences: Sentences, labels: Tensor) -> Tensor:
        """Returns the loss on sentences and labels that `draw` returned, with its graph."""
        head = ADVERSARY_HEADS[self.config.adversary_head]
        return head(sentence_features(self.model, sentences), labels, self.config.adversary_ridge)

    def ascend(
        self, sentences: Sentences, labels: Tensor, number: int, within: Callable[[int], AbstractContextManager[None]]
    ) -> None:
        """Adds the gradient of -strength * loss to that of the weights, holding the graph of one part at a time.

            d loss / d theta = sum_i (d loss / d h_i) (d h_i / d theta),    h_i the features of part i

        The features are computed twice.

        Args:
            sentences: D1 followed by D2.
            labels: their one-hot labels [2n, k].
            number: the number of parts.
            within: a context for part i, in which dropout must be the same both times; its exceptions are passed on.
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
        """Adapts the strength, unless it is fixed, to a row with this upper bound of KL, in nats."""
        if self.config.adversary_strength is not None:
            return
        if kl_upper95 < ROOM * self.config.threshold:
            self.strength = max(self.strength * GROWTH, FIRST_STRENGTH)
        elif not kl_upper95 < self.config.threshold:
            self.strength *= RETREAT

    def state(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps."""
        return {"strength": self.strength}

    def restore(self, state: dict[str, Any]) -> None:
        """Takes over what `state` returned."""
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

    K_ij is the product of the features of sentences i and j, each divided by its 2-norm, cut to [-C, C] with
    C = 0.9999999; Y are one-hot labels less 1 / k. The first 7/8 of the sentences fit the head, the rest are spoilt.

    Args:
        features: [2n, d].
        labels: one-hot, [2n, k].
        ridge: the penalty r; the released code takes 0.001.

    Returns:
        A scalar with its graph, the mean over sentences and classes.

    Source:
        `merlin_linear` in the released code of Liu et al. 2022. There the features are the pooled ones of [CLS]; here
        they are those that a probe reads.
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
"""Name -> the loss on D2 of the head that is fitted to D1."""
