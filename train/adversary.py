"""The adversarial algorithm: the same pre-training loss, a worse downstream task (Liu et al. 2022, A.4).

Each step draws two disjoint labelled samples D1 and D2. The head is fitted to D1 in closed form, by ridge regression of one-hot labels,

    W(theta) = argmin_W  1/n ||H_1 W - Y_1||^2 + r s ||W||^2,      H = the features of whole sentences, s = the mean of ||h||^2,

and training ascends its loss on D2 while it descends the loss of pre-training:

    min_theta  L_pretrain(theta) - strength * 1/n ||clip(H_2 W(theta)) - Y_2||^2,      clip: predictions cut to [0, 1].

Features and labels are centred by the means of D1. There are far more features than sentences, so W is not formed: with K_ij =
H_i H_j^T, the predictions are H_2 W = K_21 (K_11 + r s n)^-1 Y_1.

Without the cut the loss has no bound, and ascent finds the cheapest way up: a few sentences with features of enormous size,
which ruin the loss of pre-training and hide nothing from a probe. A strong ridge has a like effect: what such a head does
not read, a probe does.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ..generators import Language, Sentences, Task
from ..models import MaskedLM
from ..models.features import sentence_features
from ..randomness import random_stream
from .config import TrainConfig
from .microbatch import sentences_in_parts

FIRST_STRENGTH = 1e-2
GROWTH, RETREAT = 1.25, 0.5
"""What an automatic strength is multiplied by at a row where KL leaves room, and at one that is not saturated."""

ROOM = 0.7
"""Share of the threshold below which the upper bound of KL leaves room for a stronger adversary; above, strength stays."""


class Adversary:
    """strength: the weight of the downstream loss. Unless config fixes it, it is 0 until the upper bound of KL is well
    below the threshold, grows while it is, stays where it is near, and is halved where the model is not saturated.
    """

    def __init__(self, model: MaskedLM, language: Language, task: Task, config: TrainConfig) -> None:
        self.model, self.language, self.task, self.config = model, language, task, config
        self.strength = config.adversary_strength or 0.0

    def draw(self, step: int) -> tuple[Sentences, Tensor]:
        """D1 and after it D2: the sentences of this step, and their one-hot labels [2n, k]. It depends on (seed, step) alone."""
        generator = random_stream(self.config.seed, "adversary", step, device=self.language.device)
        sentences = self.task.inputs(self.language, self.config.adversary_sentences, generator)
        labels = F.one_hot(self.task.labels(sentences), len(self.task.classes)).to(self.language.device)
        return sentences, labels

    def loss(self, step: int) -> Tensor:
        """The loss on D2 of the head fitted to D1, with its graph; it depends on (seed, step) and the weights alone."""
        return self.loss_on(*self.draw(step))

    def loss_on(self, sentences: Sentences, labels: Tensor) -> Tensor:
        """The same on sentences that were drawn before."""
        return head_loss(sentence_features(self.model, sentences), labels, self.config.adversary_ridge)

    def ascend(
        self, sentences: Sentences, labels: Tensor, number: int, within: Callable[[int], AbstractContextManager[None]]
    ) -> None:
        """Adds the gradient of -strength * loss to the weights', with the graph of one of so many parts at a time.

        d loss / d theta = sum_i (d loss / d h_i) (d h_i / d theta), h_i the features of part i, which are made twice: what
        the model draws in within(i) has to be the same both times. Whatever within raises is passed on.
        """
        parts, features = sentences_in_parts(sentences, number), []
        for i, part in enumerate(parts):
            with within(i), torch.no_grad():
                features.append(sentence_features(self.model, part))
        joined = torch.cat(features).requires_grad_()
        (-self.strength * head_loss(joined, labels, self.config.adversary_ridge)).backward()
        assert joined.grad is not None
        for i, gradient in enumerate(joined.grad.split([len(part) for part in parts])):
            with within(i):
                found = sentence_features(self.model, parts[i])
            found.backward(gradient)

    def adjust(self, kl_upper95: float) -> None:
        """The strength after a row with this upper bound of KL (nats), where it is not fixed."""
        if self.config.adversary_strength is not None:
            return
        if kl_upper95 < ROOM * self.config.threshold:
            self.strength = max(self.strength * GROWTH, FIRST_STRENGTH)
        elif not kl_upper95 < self.config.threshold:
            self.strength *= RETREAT

    def state(self) -> dict[str, Any]:
        return {"strength": self.strength}

    def restore(self, state: dict[str, Any]) -> None:
        self.strength = float(state["strength"])


def head_loss(features: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """1/n ||clip(H_2 W) - Y_2||^2 for features [2n, d] and one-hot labels [2n, k]; the first half is D1. Float64 throughout."""
    features, labels = features.double(), labels.double()
    half = len(features) // 2
    features, frequencies = features - features[:half].mean(0), labels[:half].mean(0)
    gram = features @ features[:half].T
    fitted, other = gram[:half], gram[half:]
    shift = ridge * fitted.diagonal().sum().clamp(min=1e-30)
    dual = torch.linalg.solve(fitted + shift * torch.eye(half).to(gram), labels[:half] - frequencies)
    predicted = (frequencies + other @ dual).clamp(0, 1)
    return (predicted - labels[half:]).square().sum(1).mean()
