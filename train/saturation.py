"""The test for saturation: whether a model's pre-training loss is optimal within the error on held-out sentences."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..errors import InputError
from ..estimate import Estimate
from ..generators import Language
from ..generators.batches import EvaluationSet, evaluation_set
from ..generators.named import takes_names
from ..models import LanguageModel
from .config import TrainConfig
from .losses import divergences

ERROR_SHARE = 0.1
"""The largest standard error of a measurement near saturation, as a share of the threshold."""


@dataclass(frozen=True)
class SaturationRule:
    """The rule by which a model counts as saturated.

    The upper end of the one-sided 95 % interval of KL(truth || model) must be below the threshold, and the standard
    error must be at most a tenth of the threshold, so that the bound is reliable.

    Args:
        threshold: the threshold, nats.
    """

    threshold: float

    def holds(self, kl: Estimate) -> bool:
        """Whether a model with this KL counts as saturated."""
        return self._below(kl) and not self.undecided(kl)

    def too_few(self, kl: Estimate) -> bool:
        """Whether only the standard error prevents the model from counting as saturated."""
        return self._below(kl) and self.undecided(kl)

    def _below(self, kl: Estimate) -> bool:
        return math.isfinite(kl.upper95) and kl.upper95 < self.threshold

    def undecided(self, kl: Estimate) -> bool:
        """Whether the model may be saturated but the standard error exceeds a tenth of the threshold."""
        lower = kl.value - (kl.upper95 - kl.value)
        return math.isfinite(kl.upper95) and lower < self.threshold and kl.stderr > ERROR_SHARE * self.threshold


@dataclass(frozen=True)
class Measured:
    """A measurement on held-out sentences.

    Args:
        kl: KL(truth || model), nats.
        floor: the entropy of the truth over the same sentences, nats.
        excess: of the objective over its least, where that is not KL; see `Objective.excess`.
    """

    kl: Estimate
    floor: Estimate
    excess: Estimate | None = None

    @property
    def decides(self) -> Estimate:
        """By what the model counts as saturated."""
        return self.excess or self.kl


class HeldOut:
    """The held-out sentences of a run: a first set and, as needed, further sets, each as large as all earlier ones.

    A measurement depends only on the language, the configuration and the model, not on earlier measurements.

    Args:
        language: gives sentences and their truth.
        config: masking, numbers of sentences, threshold and seed.

    Raises:
        InputError: if the configuration has no masking.
    """

    @takes_names
    def __init__(self, language: Language, config: TrainConfig) -> None:
        if config.masking is None:
            raise InputError(
                "masking is not given, expected one, as held-out words depend on it; give it, or use Trainer"
            )
        self.language, self.config, self.masking = language, config, config.masking
        self.rule = SaturationRule(config.threshold)
        self.parts = [self._draw(0)]

    def measure(self, model: LanguageModel, stops: Callable[[], bool] = lambda: False) -> Measured:
        """Measures KL on the first set, and on further sets while saturation is undecided and the maximum allows it.

        Args:
            model: the model to measure.
            stops: called between forward passes.

        Returns:
            KL, floor and excess over all sets used.

        Raises:
            StoppedError: as soon as stops() is true.
        """
        excess, used = self.config.objective.excess(model), 0
        kls, own = [], []
        while True:
            if used == len(self.parts):
                self.parts.append(self._draw(used, stops))
            kls.append(divergences(model, self.parts[used], stops))
            if excess is not None:
                own.append(divergences(model, self.parts[used], stops, excess))
            used += 1
            joined = EvaluationSet.joined(self.parts[:used])
            kl, other = (joined.batch.mean(torch.cat(parts)) if parts else None for parts in (kls, own))
            assert kl is not None
            measured = Measured(kl, joined.floor, other)
            size = self.config.evaluation_sentences << (used - 1)
            if not self.rule.undecided(measured.decides) or 2 * size > self.config.most_evaluation_sentences:
                return measured

    def _draw(self, part: int, stops: Callable[[], bool] = lambda: False) -> EvaluationSet:
        size = self.config.evaluation_sentences << max(0, part - 1)
        return evaluation_set(self.language, size, self.config.seed, self.masking, part=part, stops=stops)
