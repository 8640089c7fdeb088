"""A training run in progress: what it does between two rows of metrics, and what it notes for the next session.

Everything that happens at step k depends on (seed, k) and the weights alone, so a run that was killed and goes on from its
last checkpoint ends with the same bits as one that never stopped.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import DivergedError, StoppedError
from ..estimate import Estimate
from ..generators.batches import Stream
from ..models import MaskedLM
from . import checkpoint
from .adversary import Adversary
from .config import TrainConfig
from .meter import REMEDY, Meter
from .metrics import MetricsRow
from .parallel.fsdp import shard, whole
from .parallel.world import World
from .saturation import HeldOut, Measured
from .step import Stepper


@dataclass
class Progress:
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
    def of(cls, state: dict[str, Any] | None) -> "Progress":
        state = state or {}
        return cls(**{name: state[name] for name in cls.__dataclass_fields__ if name in state})


class Session:
    """A run in progress."""

    def __init__(
        self,
        model: MaskedLM,
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
        state = world.broadcast(checkpoint.restore(run, model, self.optimizer) if world.first else None)
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

    def measure(self, seconds: float, stops: Callable[[], bool]) -> MetricsRow | None:
        """The row of this step, after the seconds since the row before; None where it is to stop before KL is measured.

        Notes since when the model has been saturated.
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
        now.finished = now.step >= self.config.steps or (saturated and self.config.stop_at_saturation)
        return self.row(measured, saturated, seconds)

    def row(self, measured: Measured, saturated: bool, seconds: float) -> MetricsRow:
        """The row of this step, with what was measured at it."""
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
            lr=self.config.learning_rate(now.step),
            saturated=saturated,
            saturated_step=now.saturated_step,
            since_saturation=None if now.saturated_step is None else now.step - now.saturated_step,
            adversary_strength=0.0 if self.adversary is None else self.adversary.strength,
            tokens_per_second=words / seconds if words else None,
            seconds=now.seconds + seconds,
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

    def close_row(self, row: MetricsRow) -> bool:
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
        self.world.barrier()
