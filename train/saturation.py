"""When a model counts as saturated: it has the optimal pre-training loss, as far as a held-out set can tell."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language
from ..generators.batches import EvaluationSet, evaluation_set
from ..models import MaskedLM
from .config import TrainConfig
from .losses import divergences

ERROR_SHARE = 0.1
"""Standard error that a measurement may have near saturation, as a share of the threshold."""


@dataclass(frozen=True)
class SaturationRule:
    """Saturated once the upper end of the one-sided 95 % interval of KL(truth || model) is below threshold (nats), and the
    standard error, without which that says little, at most a tenth of it.
    """

    threshold: float

    def holds(self, kl: Estimate) -> bool:
        return self._below(kl) and not self.undecided(kl)

    def too_few(self, kl: Estimate) -> bool:
        """Whether it is the error alone that keeps the model from counting as saturated."""
        return self._below(kl) and self.undecided(kl)

    def _below(self, kl: Estimate) -> bool:
        return math.isfinite(kl.upper95) and kl.upper95 < self.threshold

    def undecided(self, kl: Estimate) -> bool:
        """Whether the model may be saturated, yet the error is more than a tenth of the threshold."""
        lower = kl.value - (kl.upper95 - kl.value)
        return math.isfinite(kl.upper95) and lower < self.threshold and kl.stderr > ERROR_SHARE * self.threshold


@dataclass(frozen=True)
class Measured:
    """KL(truth || model) and the floor over the same held-out sentences, nats."""

    kl: Estimate
    floor: Estimate


class HeldOut:
    """The held-out sentences of a run: a first set, and further ones, each as large as all before, as far as they are needed.

    What is measured depends on the model and the seed alone, not on what was measured before.

    Raises InputError where config leaves the masking open.
    """

    def __init__(self, language: Language, config: TrainConfig) -> None:
        if config.masking is None:
            raise InputError(
                "masking is not given, expected one, as held-out words depend on it; give it, or use Trainer"
            )
        self.language, self.config, self.masking = language, config, config.masking
        self.rule = SaturationRule(config.threshold)
        self.parts = [self._draw(0)]

    def measure(self, model: MaskedLM, stops: Callable[[], bool] = lambda: False) -> Measured:
        """Over the first set; where that leaves open whether the model is saturated, over more of them.

        Raises StoppedError as soon as stops() is true.
        """
        used = 1
        found = [divergences(model, self.parts[0], stops)]
        while True:
            joined = EvaluationSet.joined(self.parts[:used])
            kl = joined.batch.mean(torch.cat(found))
            size = self.config.evaluation_sentences << (used - 1)
            if not self.rule.undecided(kl) or 2 * size > self.config.most_evaluation_sentences:
                return Measured(kl, joined.floor)
            if used == len(self.parts):
                self.parts.append(self._draw(used, stops))
            found.append(divergences(model, self.parts[used], stops))
            used += 1

    def _draw(self, part: int, stops: Callable[[], bool] = lambda: False) -> EvaluationSet:
        size = self.config.evaluation_sentences << max(0, part - 1)
        return evaluation_set(self.language, size, self.config.seed, self.masking, part=part, stops=stops)
