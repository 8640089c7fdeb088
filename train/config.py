"""The settings of training."""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, fields
from functools import lru_cache
from itertools import islice
from typing import Any

from ..errors import InputError, at_least, check_types, nearest
from ..spec import parse_spec, spec_of
from .objectives import Objective, objectives
from .optimizers import Optimizer, configured, optimizers
from .schedules import Schedule, schedules

CHOICES: dict[str, Collection[str]] = {
    "optimizer": optimizers,
    "schedule": schedules,
    "targets": objectives,
    "precision": ("float32", "bf16"),
    "sharding": ("ddp", "fsdp"),
    "adversary_head": ("clipped", "unit-norm"),
}

FROZEN = "embedding"
"""The kind of parameters that `freeze` keeps."""

MOST_STEPS = 99_999_999
"""The largest number of steps that the eight digits in a checkpoint's name can hold."""

MOST_ROWS = 1_000_000
"""The most rows of metrics. Measuring more would take longer than training."""

MOST_THREADS = 1024
"""The most CPU threads. A system may refuse to start more."""


def shown_number(number: int) -> str:
    """Returns the number as text, or only its number of digits if it is very long."""
    return str(number) if abs(number) < 10**20 else f"a number of {len(str(abs(number)))} digits"


@lru_cache
def _schedule(text: str) -> Schedule:
    """Returns the schedule that a text names. Cached, because every step needs it and parsing takes 20 microseconds."""
    return parse_spec(text, schedules)


@dataclass(frozen=True)
class TrainConfig:
    """Training to saturation.

    Args:
        steps: step limit, at which the schedule ends.
        batch_size: sentences per step, over all processes together.
        optimizer: adamw, sgd, muon or shampoo (matrices inside the network by these two, the rest by AdamW), or soap.
        lr: peak learning rate.
        schedule: learning rate after the warm-up: constant, a decay to zero at the step limit (linear or cosine), or
            wsd, constant with a decay at the end; wsd:at_saturation=true begins the decay when the model is saturated.
        warmup: share of the steps during which the learning rate rises from zero.
        betas: AdamW's decay rates of the two moments.
        eps: AdamW's epsilon.
        momentum: SGD's momentum.
        weight_decay: decay of weight matrices and embeddings, decoupled (AdamW) or L2 (SGD); biases and norms have
            none.
        dropout: probability with which training drops a unit.
        masking: what the model predicts: one (one hidden word per sentence), bernoulli:p (every word is hidden with
            probability p) or next (the following word; gpt only); unless given, next for gpt and one otherwise.
        targets: what the model learns: sampled words; exact, their conditional probabilities (no label noise); quad,
            logits that fit these by least squares; or squared, of two words as +1 and -1, by the squared error.
        freeze: embedding keeps the words' vectors, which are the output layer's too, as they are at the beginning (see
            --from); nothing is kept unless given.
        average: decay of an exponential moving average of the weights, which each checkpoint then holds too (see satlab
            average); none unless given.
        micro_batch: sentences in a forward pass of one process; the gradients of a step's passes add up. Unless given,
            the whole batch, which one process on a CPU splits by itself.
        adversary_task: downstream task that training makes worse at equal loss; none unless given.
        adversary_strength: weight of the adversary's loss; unless given, it grows as long as the model stays saturated.
        adversary_sentences: labelled sentences per step; the head is fitted to one half (unit-norm: to 7/8), and
            the rest are spoilt.
        adversary_head: the adversary's head: clipped, with predictions cut to [0, 1], or unit-norm, with features of
            norm 1, as in the released code.
        adversary_ridge: ridge penalty of the adversary's head.
        threshold: largest KL(truth || model) of a saturated model, nats; the upper 95 % bound must be below it, and the
            standard error at most a tenth of it.
        stop_at_saturation: stop as soon as the model is saturated; otherwise at the step limit.
        checkpoints: steps whose model is kept, in addition to the last; doubling from 250 unless given.
        evaluate_every: steps before the first row of metrics, and the fewest between two rows.
        evaluate_growth: smallest ratio between the steps of successive rows; the rows of a long run are geometrically
            spaced.
        resume_every: steps between checkpoints that only serve to resume.
        evaluation_sentences: held-out sentences on which KL is measured.
        most_evaluation_sentences: their upper limit; near saturation more are used, until the standard error is at most
            a tenth of the threshold.
        precision: arithmetic of the network in training: float32, or bf16 with weights and sums in float32.
        compile: compile the network with torch.compile; with CUDA graphs on a GPU under masking one.
        threads: CPU threads; several pay off from a width of about 256; the last bits of results depend on the number.
        sharding: what each of several processes holds: ddp, the whole model, or fsdp, a part of it and of its moments.
        seed: seed of all random streams of the run.
        optimizer_settings: further settings of the optimiser; muon has matrix_lr, muon_momentum and ns_steps, soap and
            shampoo precondition_every.
    """

    steps: int = 16_000
    batch_size: int = 256
    optimizer: str = "adamw"
    lr: float = 1e-3
    schedule: str = "constant"
    warmup: float = 0.06
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-6
    momentum: float = 0.0
    weight_decay: float = 0.01
    dropout: float = 0.0
    masking: str | None = None
    targets: str = "sampled"
    freeze: str | None = None
    average: float | None = None
    micro_batch: int | None = None
    adversary_task: str | None = None
    adversary_strength: float | None = None
    adversary_sentences: int = 512
    adversary_head: str = "clipped"
    adversary_ridge: float = 1e-3
    threshold: float = 0.01
    stop_at_saturation: bool = True
    checkpoints: list[int] | None = field(default_factory=list)
    evaluate_every: int = 250
    evaluate_growth: float = 1.05
    resume_every: int = 1000
    evaluation_sentences: int = 4096
    most_evaluation_sentences: int = 65_536
    precision: str = "float32"
    compile: bool = False
    threads: int = 1
    sharding: str = "ddp"
    seed: int = 0
    optimizer_settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_types(self)
        at_least("seed", self.seed, 0)
        for name in ("steps", "batch_size", "evaluate_every", "resume_every", "threads"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1; give a larger number")
        for name, most in (("steps", MOST_STEPS), ("threads", MOST_THREADS)):
            if getattr(self, name) > most:
                given = shown_number(getattr(self, name))
                raise InputError(f"{name} is {given}, expected at most {most}; give a smaller number")
        if self.evaluation_sentences < 2:
            raise InputError("evaluation_sentences: expected at least 2, for a standard error; give a larger number")
        if self.adversary_sentences < 4:
            raise InputError("adversary_sentences: expected at least 4, half to fit on; give a larger number")
        for name in ("lr", "threshold", "eps", "adversary_ridge"):
            if not (getattr(self, name) > 0 and math.isfinite(getattr(self, name))):
                raise InputError(f"{name} is {getattr(self, name)}, expected a positive number; correct it")
        for name in ("warmup", "dropout", "momentum"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} is {getattr(self, name)}, expected a share of at least 0 and below 1; correct it"
                )
        for name, choices in CHOICES.items():
            given = getattr(self, name).partition(":")[0].strip()
            if given not in choices:
                close = nearest(given, choices)
                remedy = f"did you mean '{close}'?" if close else "correct it"
                raise InputError(f"{name} is '{given}', expected one of {', '.join(choices)}; {remedy}")
        object.__setattr__(self, "schedule", spec_of(schedules.name_of(self.schedule_entry), self.schedule_entry))
        if self.freeze not in (None, FROZEN):
            raise InputError(f"freeze is '{self.freeze}', expected {FROZEN}, or null for nothing; correct it")
        if self.average is not None and not 0 <= self.average < 1:
            raise InputError(f"average is {self.average}, expected a decay of at least 0 and below 1; correct it")
        if self.micro_batch is not None:
            at_least("micro_batch", self.micro_batch, 1)
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay is {self.weight_decay}, expected a finite number from 0; correct it")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise InputError(f"betas are {list(self.betas)}, expected numbers from 0 to below 1; correct them")
        if not 1 <= self.evaluate_growth < math.inf:
            raise InputError(f"evaluate_growth is {self.evaluate_growth}, expected a ratio of at least 1; correct it")
        # null means the same as omitting them.
        object.__setattr__(self, "checkpoints", list(self.checkpoints or []))
        if any(step < 1 for step in self.asked_checkpoints):
            raise InputError(f"checkpoints are {self.checkpoints}, expected steps from 1 on; correct them")
        self._check_rows()
        self._check_pairs()

    def _check_rows(self) -> None:
        """Refuses a maximum of held-out sentences below their number, and more than MOST_ROWS rows of metrics."""
        if self.most_evaluation_sentences < self.evaluation_sentences:
            raise InputError(
                f"most_evaluation_sentences is {self.most_evaluation_sentences}, expected at least "
                f"evaluation_sentences, {self.evaluation_sentences}; give more"
            )
        if self.steps // self.evaluate_every > MOST_ROWS and any(
            True for _ in islice(self._evaluation_steps(), MOST_ROWS, None)
        ):
            raise InputError(
                f"evaluate_every is {self.evaluate_every} and evaluate_growth {self.evaluate_growth} for {self.steps} "
                f"steps, expected at most {MOST_ROWS} rows of metrics; increase one of the two"
            )

    def _check_pairs(self) -> None:
        """Refuses incompatible combinations of settings."""
        optimizer = self.optimizer_entry
        if self.momentum > 0 and not hasattr(optimizer, "momentum"):
            raise InputError(f"momentum is {self.momentum}, which only sgd uses; set optimizer to sgd, or leave it out")
        if self.sharding == "fsdp" and not optimizer.shardable:
            raise InputError(
                f"sharding 'fsdp' with optimizer '{self.optimizer}', which needs whole matrices; set sharding to ddp"
            )
        task, strength = self.adversary_task, self.adversary_strength
        whole = {"compile": self.compile, "adversary_task": task, "average": self.average, "freeze": self.freeze}
        beside = [f"{name} {value!r}" for name, value in whole.items() if value not in (None, False)]
        if self.sharding == "fsdp" and beside:
            raise InputError(f"sharding 'fsdp' with {beside[0]}, which needs the model as a whole; set sharding to ddp")
        if strength is not None and not 0 < strength < math.inf:
            raise InputError(f"adversary_strength is {strength}, expected a positive number; correct it")
        if strength is not None and task is None:
            raise InputError(f"adversary_strength is {strength}, expected an adversary_task with it; name one")
        if task is not None and strength is None and self.stop_at_saturation:
            raise InputError(
                f"adversary_task '{task}': training would stop before the adversary begins; set "
                "stop_at_saturation to false, or give an adversary_strength"
            )

    @property
    def optimizer_entry(self) -> Optimizer:
        """The optimiser with its settings."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        return configured(self.optimizer, settings, self.optimizer_settings)

    @property
    def objective(self) -> Objective:
        """The objective that `targets` names."""
        return objectives[self.targets]()

    @property
    def kept_steps(self) -> list[int]:
        """The steps whose checkpoint is kept: the requested ones up to the limit, or doubling steps, and the last."""
        asked = self.asked_checkpoints
        if not asked:
            asked = [250 * 2**i for i in range(64) if 250 * 2**i < self.steps]
        return sorted({step for step in asked if step <= self.steps} | {self.steps})

    @property
    def asked_checkpoints(self) -> list[int]:
        """The steps given as checkpoints; empty if none were given."""
        return self.checkpoints or []

    @property
    def dropped_checkpoints(self) -> list[int]:
        """The requested checkpoints that lie beyond the step limit."""
        return sorted({step for step in self.asked_checkpoints if step > self.steps})

    @property
    def evaluation_steps(self) -> list[int]:
        """The steps of rows other than the checkpoints' rows: evaluate_every apart, later geometrically spaced."""
        return list(self._evaluation_steps())

    def _evaluation_steps(self) -> Iterator[int]:
        step = self.evaluate_every
        while step <= self.steps:
            yield step
            if step * self.evaluate_growth > self.steps:
                return
            step = max(step + self.evaluate_every, math.ceil(step * self.evaluate_growth))

    @property
    def schedule_entry(self) -> Schedule:
        """The schedule with its settings."""
        return _schedule(self.schedule)

    def learning_rate(self, step: int, saturated_at: int | None = None) -> float:
        """Returns the learning rate of a step.

        Args:
            step: 1 to `last_step(saturated_at)`.
            saturated_at: the first step at which the model was saturated, if the schedule depends on it.

        Returns:
            The rate, before the factor `lr_ratio` of a parameter group.
        """
        warm = round(self.warmup * self.steps)
        if step <= warm:
            return self.lr * step / warm
        left = (self.last_step(saturated_at) - step) / max(1, self.steps - warm)
        return self.lr * self.schedule_entry.share(left)

    def last_step(self, saturated_at: int | None = None) -> int:
        """Returns the latest step at which training ends.

        Args:
            saturated_at: the first step at which the model was saturated; None until then.

        Returns:
            The step limit, or the end of a decay that begins at saturation if that is earlier.
        """
        tail = self.schedule_entry.tail
        if tail is None or saturated_at is None:
            return self.steps
        warm = round(self.warmup * self.steps)
        return min(self.steps, max(saturated_at, warm) + max(1, round(tail * (self.steps - warm))))
