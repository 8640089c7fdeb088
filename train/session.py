"""A training run in progress: its steps, its rows of metrics, and the state that it saves for the next session.

Everything at step k is a function of (seed, k) and the saved state. So a run that was killed and resumes from its last
checkpoint ends with the same bits as one that never stopped.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DivergedError, StoppedError
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
    """The state of a run other than its weights and optimiser, as stored in state.json.

    Args:
        step: steps taken.
        finished: whether training has ended by itself.
        since: the step of the last row.
        loss_sum: sum of the losses since the last row, nats.
        saturated_step: first step of the current stretch of saturated rows; None if the last row is not saturated.
        seconds: training time since the last row.
        row_due: whether the row of the last step is missing. In a checkpoint, this means that a stop came before or
            during the measurement of KL.
        decay_from: the step at which the decay of a schedule that waits for saturation began; None until then, and with
            other schedules.
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
        """Returns the fields for state.json, without decay_from and running if they are unset."""
        unset: dict[str, Any] = {"decay_from": None, "running": []}
        return {name: value for name, value in vars(self).items() if name not in unset or value != unset[name]}

    @classmethod
    def of(cls, state: dict[str, Any] | None) -> "Progress":
        """Returns the progress stored in a state.json; without one, that of a new run."""
        state = state or {}
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})


class Session:
    """A run in progress, begun or resumed from its last checkpoint.

    Args:
        model: the model, trained in place.
        stream: gives the batch of each step.
        held_out: measures KL.
        config: the settings, with a masking.
        run: directory of the checkpoints.
        adversary: adds its loss to the steps; None without one.
        world: the processes that train together.
        stops: called within a step; True stops it.
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
        # The weights are the same in all processes, and only the first process writes.
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
        """Whether this step is due for a checkpoint that serves to resume."""
        return self.now.step % self.config.resume_every == 0

    @property
    def _averaged(self) -> LanguageModel | None:
        return None if self.average is None else self.average.model

    def step(self, on_step: Callable[[int, float], None]) -> bool:
        """Takes the next step.

        Args:
            on_step: called with (step, loss) whenever the losses are read.

        Returns:
            False if the step was abandoned because of a stop.
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
        """Whether the running mean of KL is below the threshold although the last row was not saturated.

        A row is then due, unless it would follow the last one too closely: by fewer than LEAST_STEPS steps, or by a
        ratio of steps below evaluate_growth.

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
            DivergedError: if a loss or weight is not finite; nothing is saved.
        """
        if self.now.step == self.saved_step:
            return
        self.meter.check()
        self.check_weights()
        self.save(keep=False, seconds=self.now.seconds + seconds)

    def check_weights(self) -> None:
        """Checks the weights before they are saved.

        Raises:
            DivergedError: if a weight is not finite in any process.
        """
        weights = [p.to_local() if hasattr(p, "to_local") else p for p in self.model.parameters()]
        if self.world.any(not all(bool(weight.isfinite().all()) for weight in weights)):
            raise DivergedError(f"training diverged at step {self.now.step}: a weight is not a number; {REMEDY}")

    def measure(self, seconds: float, stops: Callable[[], bool]) -> MetricsRow | None:
        """Measures KL at this step, and records whether the model is saturated and since when.

        Args:
            seconds: training time in this session since the last row.
            stops: called between forward passes; True stops the measurement.

        Returns:
            The row of this step; None if a stop came before KL was measured.

        Raises:
            DivergedError: if KL is not finite.
        """
        now = self.now
        try:
            measured = self.held_out.measure(self.world.together(self.model), stops)
        except StoppedError:
            return None
        if not math.isfinite(measured.kl.value):
            raise DivergedError(f"training diverged at step {now.step}: KL is {measured.kl.value}; {REMEDY}")
        self.say_where_too_few(measured)
        saturated = bool(self.world.broadcast(self.held_out.rule.holds(measured.decides)))
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
            excess=None if measured.excess is None else measured.excess.value,
            excess_stderr=None if measured.excess is None else measured.excess.stderr,
        )

    def say_where_too_few(self, measured: Measured) -> None:
        """Warns once if only the standard error on the most held-out sentences keeps the model from being saturated."""
        found = measured.decides
        if self.said or not self.world.first or not self.held_out.rule.too_few(found):
            return
        what = "KL" if measured.excess is None else "the excess"
        self.said = True
        warnings.warn(
            f"{what} {found.value:.4g} +- {found.stderr:.2g} cannot be distinguished from the threshold, "
            f"{self.config.threshold:g}, with {found.n} held-out sentences, so the model does not count as saturated; "
            "train again with more most_evaluation_sentences or a larger threshold",
            stacklevel=2,
        )

    def close_row(self, row: MetricsRow) -> bool:
        """Adapts the adversary and, if one is due, saves a checkpoint. Call it once the row has been recorded.

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
