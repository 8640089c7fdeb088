"""A training run in progress: its steps, its rows of metrics, and what it records for the next session.

Everything at step k is a function of (seed, k) and the weights. So a run that was killed and resumes from its last
checkpoint ends with the same bits as one that never stopped.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DivergedError, StoppedError
from ..estimate import Estimate
from ..generators.batches import Stream
from ..models import LanguageModel
from . import checkpoint
from .adversary import Adversary
from .config import TrainConfig
from .meter import REMEDY, Meter
from .metrics import MetricsRow
from .parallel.fsdp import shard, whole
from .parallel.world import World
from .running_kl import LEAST_STEPS, RunningKL
from .saturation import HeldOut, Measured
from .step import Stepper
from .weight_average import WeightAverage


@dataclass
class Progress:
    """The state of a run beside weights and optimiser, as state.json holds it.

    Args:
        step: steps taken.
        finished: whether training has ended by itself.
        since: the step of the last row.
        loss_sum: sum of the losses since the last row, nats.
        saturated_step: first step of the present stretch of saturated rows; None where the last row is not saturated.
        seconds: training time since the last row.
        row_due: whether the step is done but its row is not, because a stop came before or during the measurement of
            KL.
        decay_from: the step at which the decay of a schedule that waits for saturation began; None as long as it waits,
            and with another schedule.
        running: the sums of the running mean of KL; empty without one.
    """

    step: int = 0
    finished: bool = False
    since: int = 0
    loss_sum: float = 0.0
    saturated_step: int | None = None
    seconds: float = 0.0
    row_due: bool = False
    decay_from: int | None = None
    running: list[float] = field(default_factory=list)

    def as_state(self) -> dict[str, Any]:
        """Returns what state.json holds of it: the fields that only some runs need where they are set."""
        unset: dict[str, Any] = {"decay_from": None, "running": []}
        return {name: value for name, value in vars(self).items() if name not in unset or value != unset[name]}

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> "Progress":
        """Returns the progress that a state.json holds; that of a new run where there is none."""
        state = state or {}
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})


class Session:
    """A run in progress, begun or resumed from its last checkpoint.

    Args:
        model: is trained in place.
        stream: gives the batch of each step.
        held_out: measures KL.
        config: the settings, with a masking.
        run: directory of the checkpoints.
        adversary: takes part in the steps; None without one.
        world: the processes that train together.
        stops: asked within a step whether to stop.
    """

    def __init__(
        self,
        model: LanguageModel,
        stream: Stream,
        held_out: HeldOut,
        config: TrainConfig,
        *,
        run: Path,
        adversary: Adversary | None,
        world: World,
        stops: Callable[[], bool],
    ) -> None:
        self.model, self.held_out, self.config, self.run = model, held_out, config, run
        self.adversary, self.world = adversary, world
        self.optimizer = config.optimizer_entry.build(model)
        # The weights are the same everywhere, and the first process alone writes.
        kept = config.average if world.first else None
        self.average = None if kept is None else WeightAverage(model, kept)
        state = world.broadcast(checkpoint.restore(run, model, self.optimizer, self._averaged) if world.first else None)
        world.broadcast_state(model, self.optimizer)
        self.sharded = world.size > 1 and config.sharding == "fsdp"
        if self.sharded:
            self.optimizer = shard(model, self.optimizer, config, world, stream.language.device)
        self.now = Progress.of(state)
        self.saved_step, self.said = self.now.step, False
        if adversary is not None and state is not None:
            adversary.restore(state["adversary"])
        self.kept, self.evaluated = set(config.kept_steps), set(config.evaluation_steps)
        if world.size > 1 and not self.now.finished:
            world.check_same(asdict(config), stream.batch(self.now.step + 1).inputs)
        self.take = Stepper(model, self.optimizer, stream, config, adversary, world, stops)
        self.meter = Meter(self.take.device, self.now.loss_sum)
        self.running = RunningKL(self.take.device, self.now.running)

    @property
    def rolls(self) -> bool:
        """Whether this step gets a checkpoint that serves to resume."""
        return self.now.step % self.config.resume_every == 0

    @property
    def _averaged(self) -> LanguageModel | None:
        return None if self.average is None else self.average.model

    def step(self, on_step: Callable[[int, float], None]) -> bool:
        """Takes the next step.

        Args:
            on_step: called with (step, loss) whenever the losses are read.

        Returns:
            False where the step was abandoned because of a stop.
        """
        step = self.now.step + 1
        try:
            taken = self.take(step, self.config.learning_rate(step, self.now.decay_from))
        except StoppedError:
            return False
        if self.average is not None:
            self.average.update(step)
        self.now.step = step
        self.meter.add(step, taken.loss, taken.words)
        if taken.excess is not None:
            self.running.add(taken.excess)
        looks = step % self.meter.look_every == 0
        ends = step == self.config.last_step(self.now.decay_from)
        self.now.row_due = ends or step in self.kept or step in self.evaluated or (looks and self.sees_saturation())
        if self.now.row_due or looks:
            self.meter.check()
            on_step(step, float(taken.loss))
        return True

    def sees_saturation(self) -> bool:
        """Whether the running mean of KL says that the model may be saturated while the last row says that it is not.

        The next row is then due, unless the last one is too near: at most one row in LEAST_STEPS, and none nearer than
        by the ratio evaluate_growth.

        Returns:
            Whether to measure KL now.
        """
        now = self.now
        if now.saturated_step is not None or now.step < max(
            now.since + LEAST_STEPS, now.since * self.config.evaluate_growth
        ):
            return False
        return self.running.below(self.config.threshold)

    def save_between_rows(self, seconds: float) -> None:
        """Saves a checkpoint that serves to resume, unless this step has one.

        Args:
            seconds: training time in this session since the last row.

        Raises:
            DivergedError: where a loss or weight is not finite; nothing is saved.
        """
        if self.now.step == self.saved_step:
            return
        self.meter.check()
        self.check_weights()
        self.save(keep=False, seconds=self.now.seconds + seconds)

    def check_weights(self) -> None:
        """Checks the weights before they are saved.

        Raises:
            DivergedError: where a weight is not finite in any process.
        """
        weights = [p.to_local() if hasattr(p, "to_local") else p for p in self.model.parameters()]
        if self.world.any(not all(bool(weight.isfinite().all()) for weight in weights)):
            raise DivergedError(f"training diverged at step {self.now.step}: a weight is not a number; {REMEDY}")

    def measure(self, seconds: float, stops: Callable[[], bool]) -> MetricsRow | None:
        """Measures KL at this step, and records whether the model is saturated and since when.

        Args:
            seconds: training time in this session since the last row.
            stops: asked between forward passes.

        Returns:
            The row of this step; None where a stop came before KL was measured.

        Raises:
            DivergedError: where KL is not finite.
        """
        now = self.now
        try:
            measured = self.held_out.measure(self.world.together(self.model), stops)
        except StoppedError:
            return None
        if not math.isfinite(measured.kl.value):
            raise DivergedError(f"training diverged at step {now.step}: KL is {measured.kl.value}; {REMEDY}")
        self.say_where_too_few(measured.kl)
        saturated = bool(self.world.broadcast(self.held_out.rule.holds(measured.kl)))
        now.saturated_step = (now.saturated_step or now.step) if saturated else None
        waits = self.config.schedule_entry.tail is not None
        if saturated and waits and now.decay_from is None:
            now.decay_from = now.step
        now.finished = now.step >= self.config.last_step(now.decay_from)
        now.finished |= saturated and self.config.stop_at_saturation and not waits
        return self.row(measured, saturated, seconds)

    def row(self, measured: Measured, saturated: bool, seconds: float) -> MetricsRow:
        """Makes the row of this step from its measurement."""
        now, words = self.now, float(self.meter.words)
        return MetricsRow(
            step=now.step,
            loss=float(self.meter.loss) / (now.step - now.since),
            kl=measured.kl.value,
            kl_stderr=measured.kl.stderr,
            kl_upper95=measured.kl.upper95,
            floor=measured.floor.value,
            floor_stderr=measured.floor.stderr,
            n=measured.kl.n,
            lr=self.config.learning_rate(now.step, now.decay_from),
            train_kl=self.running.value,
            train_kl_stderr=self.running.stderr,
            saturated=saturated,
            saturated_step=now.saturated_step,
            since_saturation=None if now.saturated_step is None else now.step - now.saturated_step,
            adversary_strength=0.0 if self.adversary is None else self.adversary.strength,
            tokens_per_second=words / seconds if words else None,
            seconds=now.seconds + seconds,
        )

    def say_where_too_few(self, kl: Estimate) -> None:
        """Warns once where even the most held-out sentences do not decide whether the model is saturated."""
        if self.said or not self.world.first or not self.held_out.rule.too_few(kl):
            return
        self.said = True
        warnings.warn(
            f"KL {kl.value:.4g} +- {kl.stderr:.2g} cannot be told from the threshold, {self.config.threshold:g}, "
            f"with {kl.n} held-out sentences, so the model does not count as saturated; train again with more "
            "most_evaluation_sentences or a larger threshold",
            stacklevel=2,
        )

    def close_row(self, row: MetricsRow) -> bool:
        """Adapts the adversary and saves a checkpoint where one is due, once a row has been recorded.

        Args:
            row: the row.

        Returns:
            Whether a checkpoint was saved.
        """
        if self.adversary is not None:
            self.adversary.adjust(row.kl_upper95)
        self.now.since, self.now.seconds, self.now.row_due = self.now.step, 0.0, False
        self.meter.reset()
        kept = self.now.step in self.kept or self.now.finished
        if kept or self.rolls:
            self.save(kept, kl=row.kl, saturated=row.saturated)
        return kept or self.rolls

    def save(self, keep: bool, **more: Any) -> None:
        """Saves a checkpoint of this step.

        Args:
            keep: whether it is kept; otherwise it serves to resume.
            **more: further keys of state.json.
        """
        self.now.loss_sum, self.saved_step = float(self.meter.loss), self.now.step
        self.now.running = self.running.state
        adversary = {} if self.adversary is None else {"adversary": self.adversary.state()}
        parts = (self.model, self.optimizer)
        trained = whole(*parts, self.config, self.world) if self.sharded else parts
        if trained is not None and self.world.first:
            state = {"keep": keep} | self.now.as_state() | more | adversary
            checkpoint.save(self.run, *trained, state, self._averaged)
        # A process that writes nothing must not end before the first one has written.
        self.world.barrier()
