"""How a model is trained."""

import math
from dataclasses import dataclass, field

from ..errors import InputError, unknown

SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class TrainConfig:
    """Training to saturation.

    Args:
        steps: step limit; the schedule ends here.
        batch_size: sentences a step.
        lr: peak learning rate.
        schedule: what follows the warm-up: constant, or a decay to zero at the step limit (linear or cosine).
        warmup: share of the steps over which the learning rate rises from zero.
        betas: AdamW's decay rates of the two moments.
        eps: AdamW's epsilon.
        weight_decay: AdamW's decoupled decay of weight matrices and embeddings (biases and norms have none).
        dropout: probability that a unit is left out in training.
        masking: which words are hidden: one a sentence, or bernoulli:p.
        threshold: KL(truth || model) in nats; the model counts as saturated once the upper 95 % bound is below it.
        stop_at_saturation: stop then (and not only at the step limit).
        checkpoints: steps whose model is kept, beside the last; doubling from 250 unless given.
        evaluate_every: steps between two rows of metrics.
        resume_every: steps between the checkpoints that only serve to go on after an interruption.
        evaluation_sentences: held-out sentences that KL is measured on.
        threads: CPU threads; more than one pays off from a width of about 256 on, and is part of what makes bits equal.
        seed: what all random streams of the run derive from.
    """

    steps: int = 16_000
    batch_size: int = 256
    lr: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.06
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    weight_decay: float = 0.01
    dropout: float = 0.0
    masking: str = "one"
    threshold: float = 0.01
    stop_at_saturation: bool = True
    checkpoints: list[int] = field(default_factory=list)
    evaluate_every: int = 250
    resume_every: int = 1000
    evaluation_sentences: int = 4096
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "resume_every", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1; give a larger number")
        if self.evaluation_sentences < 2:
            raise InputError("evaluation_sentences: expected at least 2, for a standard error; give a larger number")
        for name in ("lr", "threshold", "eps"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise InputError(f"{name} is {getattr(self, name)}, expected a positive number; correct it")
        for name in ("warmup", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} is {getattr(self, name)}, expected a share of at least 0 and below 1; correct it"
                )
        if self.schedule not in SCHEDULES:
            nearest = str(unknown("", self.schedule, SCHEDULES)).partition(": ")[2]
            raise InputError(f"schedule is '{self.schedule}', expected one of {', '.join(SCHEDULES)}; {nearest}")
        if not 0 <= self.weight_decay < math.inf or not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(
                "weight_decay must not be negative nor infinite, and betas must lie in [0, 1); correct them"
            )
        if any(step < 1 for step in self.checkpoints):
            raise InputError(f"checkpoints are {self.checkpoints}, expected steps from 1 on; correct them")

    @property
    def kept_steps(self) -> list[int]:
        """The steps whose checkpoint is kept: those asked for (up to the limit), and the last."""
        asked = self.checkpoints
        if not asked:
            asked = [250 * 2**i for i in range(64) if 250 * 2**i < self.steps]
        return sorted({step for step in asked if step <= self.steps} | {self.steps})

    def learning_rate(self, step: int) -> float:
        """The rate of step 1, 2, ..., steps."""
        warm = round(self.warmup * self.steps)
        if step <= warm:
            return self.lr * step / warm
        left = (self.steps - step) / max(1, self.steps - warm)
        if self.schedule == "linear":
            return self.lr * left
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 - math.cos(math.pi * left))
        return self.lr
