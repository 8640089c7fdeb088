"""The training loop. It yields rows of metrics; whoever consumes them records them before the next checkpoint is written.

Everything that happens at step k depends on (seed, k) and the weights alone, so a run that was killed and goes on from its
last checkpoint ends with the same bits as one that never stopped.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import DivergedError, StoppedError
from ..estimate import Estimate
from ..generators.batches import Stream
from ..models import MaskedLM
from . import checkpoint
from .adversary import Adversary
from .config import TrainConfig
from .optimizer import make_optimizer
from .parallel.fsdp import shard, whole
from .parallel.world import World
from .saturation import HeldOut
from .step import Stepper

REMEDY = "checkpoints before it stay; train again in another directory, with a lower lr or a longer warm-up"

LOOK_EVERY = 50
"""Steps after which a GPU is asked for its losses; a CPU is asked after each."""


@dataclass(frozen=True)
class Row:
    """Metrics after `step` steps: losses and KL in nats, loss the mean over the steps since the row before.

    saturated_step: the first step of the unbroken stretch of saturated rows that this one ends, None where it is none;
    since_saturation = step - saturated_step. adversary_strength: 0 without an adversary. tokens_per_second: since the row
    before, in this session; None where that has trained nothing yet, as in a row that an earlier one was stopped before.
    seconds: of training since the row before, over all sessions, but for what a killed one lost: measurements and the rows'
    checkpoints left out, those between rows and the first step's preparations not.
    """

    step: int
    loss: float
    kl: float
    kl_stderr: float
    kl_upper95: float
    floor: float
    floor_stderr: float
    n: int
    lr: float
    saturated: bool
    saturated_step: int | None
    since_saturation: int | None
    adversary_strength: float
    tokens_per_second: float | None
    seconds: float


class _Meter:
    """The losses and words since the last row, summed on the device, so that a GPU need not be waited for."""

    def __init__(self, device: torch.device, loss_sum: float) -> None:
        self.loss = torch.tensor(loss_sum, dtype=torch.float64, device=device)
        self.words = torch.zeros((), dtype=torch.int64, device=device)
        self.diverged = torch.zeros((), dtype=torch.int64, device=device)
        self.look_every = LOOK_EVERY if device.type == "cuda" else 1

    def add(self, step: int, loss: Tensor, words: Tensor) -> None:
        self.loss += loss
        self.words += words
        self.diverged += step * ((self.diverged == 0) & ~loss.isfinite())

    def check(self) -> None:
        """Raises DivergedError, naming the step, where a loss since the last look was not finite."""
        if step := int(self.diverged):
            raise DivergedError(f"training diverged at step {step}: the loss is {float(self.loss)}; {REMEDY}")

    def reset(self) -> None:
        self.loss.zero_()
        self.words.zero_()


@dataclass
class _Progress:
    """What a run knows beside weights and optimiser; state.json holds it."""

    step: int = 0
    finished: bool = False
    since: int = 0
    loss_sum: float = 0.0
    saturated_step: int | None = None
    seconds: float = 0.0
    """What training has taken since the row before."""
    row_due: bool = False
    """Whether the step is done and its row is not: a stop came before, or while KL was measured."""

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> "_Progress":
        state = state or {}
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})


def train(
    model: MaskedLM,
    stream: Stream,
    held_out: HeldOut,
    config: TrainConfig,
    run: Path,
    clock: Callable[[], float],
    on_step: Callable[[int, float], None] = lambda step, loss: None,
    should_stop: Callable[[], bool] = lambda: False,
    adversary: Adversary | None = None,
    world: World | None = None,
) -> Iterator[Row]:
    """Trains the model in place, from the run's last checkpoint if it has one, until it is saturated or out of steps.

    Yields a Row at config.evaluation_steps and at each checkpoint that is kept; the checkpoint of a step is written after
    its row has been consumed. on_step(step, loss) is called after every step on a CPU, after some on a GPU.

    Raises DivergedError, with the step, where the loss is not finite; the checkpoints before it stay. Raises
    StoppedError, with the step, once should_stop() is true, also in the middle of a measurement, which is then made when
    the run goes on, and between the parts of a step, which is then taken again; a checkpoint of the last step that was
    taken is written first.
    """
    world = world or World()

    def stops() -> bool:
        return world.any(should_stop())

    training = _Training(model, stream, held_out, config, run, adversary, world, stops)
    try:
        yield from _rows(training, clock, on_step, stops)
    finally:
        training.take.end()


def _rows(
    training: "_Training", clock: Callable[[], float], on_step: Callable[[int, float], None], stops: Callable[[], bool]
) -> Iterator[Row]:
    begin, now = clock(), training.now
    lasted: float | None
    while not now.finished:
        taken = now.row_due or training.step(on_step)
        stopped, saved, lasted = not taken or stops(), False, None
        if now.row_due and not stopped:
            lasted = clock() - begin
            row = training.measure(lasted, stops)
            if row is None:
                stopped = True
            else:
                yield row
                saved = training.close_row(row)
                begin = clock()
        elif training.rolls and not stopped:
            training.save_between_rows(clock() - begin)
        if stopped and not now.finished and not saved:
            training.save_between_rows(clock() - begin if lasted is None else lasted)
            again = "run the same command again to go on"
            raise StoppedError(f"stopped at step {now.step} of {training.config.steps}; {again}")


class _Training:
    """A run in progress."""

    def __init__(
        self,
        model: MaskedLM,
        stream: Stream,
        held_out: HeldOut,
        config: TrainConfig,
        run: Path,
        adversary: Adversary | None,
        world: World,
        stops: Callable[[], bool],
    ) -> None:
        self.model, self.held_out, self.config, self.run = model, held_out, config, run
        self.adversary, self.world = adversary, world
        self.optimizer = make_optimizer(model, config)
        state = world.hear(checkpoint.restore(run, model, self.optimizer) if world.first else None)
        world.adopt(model, self.optimizer)
        self.sharded = world.size > 1 and config.sharding == "fsdp"
        if self.sharded:
            self.optimizer = shard(model, self.optimizer, config, world, stream.language.device)
        self.now = _Progress.of(state)
        self.saved_step, self.said = self.now.step, False
        if adversary is not None and state is not None:
            adversary.restore(state["adversary"])
        self.kept, self.evaluated = set(config.kept_steps), set(config.evaluation_steps)
        if world.size > 1 and not self.now.finished:
            world.check_same(asdict(config), stream.batch(self.now.step + 1).inputs)
        self.take = Stepper(model, self.optimizer, stream, config, adversary, world, stops)
        self.meter = _Meter(self.take.device, self.now.loss_sum)

    @property
    def rolls(self) -> bool:
        """Whether this step gets a checkpoint to go on from."""
        return self.now.step % self.config.resume_every == 0

    def step(self, on_step: Callable[[int, float], None]) -> bool:
        """Takes the next step; whether it was not abandoned."""
        step = self.now.step + 1
        try:
            loss, words = self.take(step)
        except StoppedError:
            return False
        self.now.step = step
        self.meter.add(step, loss, words)
        self.now.row_due = step in self.kept or step in self.evaluated
        if self.now.row_due or step % self.meter.look_every == 0:
            self.meter.check()
            on_step(step, float(loss))
        return True

    def save_between_rows(self, seconds: float) -> None:
        """A checkpoint of this step to go on from, unless it has one, where its losses and weights are finite.

        seconds: what training has taken in this session since the row before.
        """
        if self.now.step == self.saved_step:
            return
        self.meter.check()
        self.check_weights()
        self.save(keep=False, seconds=self.now.seconds + seconds)

    def check_weights(self) -> None:
        """Raises DivergedError where the step that was just done has spoilt the weights: they are not to be kept."""
        weights = [p.to_local() if hasattr(p, "to_local") else p for p in self.model.parameters()]
        if self.world.any(not all(bool(weight.isfinite().all()) for weight in weights)):
            raise DivergedError(f"training diverged at step {self.now.step}: a weight is not a number; {REMEDY}")

    def measure(self, seconds: float, stops: Callable[[], bool]) -> Row | None:
        """The row of this step, after the seconds since the row before; None where it is to stop before KL is measured.

        Notes since when the model has been saturated.
        """
        now, config = self.now, self.config
        mean, words = float(self.meter.loss) / (now.step - now.since), float(self.meter.words)
        try:
            measured = self.held_out.measure(self.world.together(self.model), stops)
        except StoppedError:
            return None
        kl, floor = measured.kl, measured.floor
        if not math.isfinite(kl.value):
            raise DivergedError(f"training diverged at step {now.step}: KL is {kl.value}; {REMEDY}")
        self.say_where_too_few(kl)
        saturated = bool(self.world.hear(self.held_out.rule.holds(kl)))
        now.saturated_step = (now.saturated_step or now.step) if saturated else None
        since = None if now.saturated_step is None else now.step - now.saturated_step
        now.finished = now.step >= config.steps or (saturated and config.stop_at_saturation)
        strength = 0.0 if self.adversary is None else self.adversary.strength
        estimates = (kl.value, kl.stderr, kl.upper95, floor.value, floor.stderr, kl.n)
        lr, rate = config.learning_rate(now.step), words / seconds if words else None
        return Row(
            now.step, mean, *estimates, lr, saturated, now.saturated_step, since, strength, rate, now.seconds + seconds
        )

    def say_where_too_few(self, kl: Estimate) -> None:
        """Warns, once, where all held-out sentences there may be do not tell whether the model is saturated."""
        if self.said or not self.world.first or not self.held_out.rule.too_few(kl):
            return
        self.said = True
        warnings.warn(
            f"KL {kl.value:.4g} +- {kl.stderr:.2g} cannot be told from the threshold, {self.config.threshold:g}, with {kl.n} "
            "held-out sentences, so the model does not count as saturated; train again with more "
            "most_evaluation_sentences or a larger threshold",
            stacklevel=2,
        )

    def close_row(self, row: Row) -> bool:
        """What comes once a row is recorded: the adversary's answer, and the checkpoint; whether there was one."""
        if self.adversary is not None:
            self.adversary.adjust(row.kl_upper95)
        self.now.since, self.now.seconds, self.now.row_due = self.now.step, 0.0, False
        self.meter.reset()
        kept = self.now.step in self.kept or self.now.finished
        if kept or self.rolls:
            self.save(kept, kl=row.kl, saturated=row.saturated)
        return kept or self.rolls

    def save(self, keep: bool, **more: Any) -> None:
        self.now.loss_sum, self.saved_step = float(self.meter.loss), self.now.step
        adversary = {} if self.adversary is None else {"adversary": self.adversary.state()}
        parts = (self.model, self.optimizer)
        trained = whole(*parts, self.config, self.world) if self.sharded else parts
        if trained is not None and self.world.first:
            checkpoint.save(self.run, *trained, {"keep": keep} | vars(self.now) | more | adversary)
        # Who has nothing to write must not end before it is written.
        self.world.meet()
