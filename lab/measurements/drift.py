"""The drift of a trained network along its minimum in a second phase of SGD, measured in the time of Theorem 4.3.

There is a row for each checkpoint, with the time eta^2 k / B after k steps, KL and its predicted floor
eta Tr(H) / (4 B), Tr(H), and accuracy. Step 0 is the checkpoint with which the phase began, if its run still exists.

This floor holds for small steps. At a finite step size, each eigenvalue l of H contributes l / (1 - eta l / 2) instead
of l, so that a few large ones can dominate KL. `floor_of_step` applies this to the five largest, and is null if eta l
reaches 2.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, at_least
from ...estimate import ONE_SIDED_95, Estimate
from ...flatness.estimators.lanczos import top_eigenvalues
from ...models import load_model
from ...randomness import random_stream
from ...train import TrainConfig
from ..runs.checkpoints import chosen_checkpoints
from ..runs.run import Run, load_run
from ..runs.trainings import origin_of
from .flatness import measure_flatness
from .flatness_config import FlatnessConfig
from .kl import EvaluateConfig, measure_kl
from .measure import Row
from .probe import check_probe, measure_probe
from .probe_config import ProbeConfig

CURVED = 500
"""The number of contexts on which the largest eigenvalues are measured."""

MOST_STEPS = 10**12
"""Steps of a second phase: more than anyone waits for."""

PROBE = ProbeConfig(train_sentences=2000, test_sentences=4000)
"""How accuracy is measured."""


@dataclass(frozen=True)
class DriftConfig:
    """SGD at a constant step on sampled words, from a saturated checkpoint on.

    Args:
        eta: learning rate of SGD; below 2 / the largest eigenvalue of H.
        batch_size: B, sentences per step.
        clock: time t = eta^2 k / B at which it ends; the number of steps k follows.
        points: number of checkpoints, equally spaced in time.
        phase_seed: seed of the sentences.
    """

    eta: float = 0.1
    batch_size: int = 256
    clock: float = 0.2
    points: int = 4
    phase_seed: int = 0

    def __post_init__(self) -> None:
        for name in ("eta", "clock"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}, expected a positive number; correct it")
        for name in ("batch_size", "points"):
            at_least(name, getattr(self, name), 1)
        at_least("phase_seed", self.phase_seed, 0)
        if not 0 < self.eta**2 < math.inf or not self.clock * self.batch_size / self.eta**2 < MOST_STEPS:
            raise InputError(
                f"clock {self.clock:g} at eta {self.eta:g} and batch_size {self.batch_size} is not reached within "
                f"{MOST_STEPS:g} steps; give a larger eta or a smaller clock"
            )
        if self.steps < self.points:
            raise InputError(
                f"clock {self.clock:g} at eta {self.eta:g} and batch_size {self.batch_size} is {self.steps} steps, "
                f"expected at least {self.points}, a checkpoint each; give a larger clock"
            )

    @property
    def steps(self) -> int:
        """k = t B / eta^2."""
        return round(self.clock * self.batch_size / self.eta**2)

    def training(self, masking: str | None) -> TrainConfig:
        """The settings of the second phase.

        Args:
            masking: the masking of the first phase.

        Returns:
            The settings.
        """
        marks = [round(self.steps * (i + 1) / self.points) for i in range(self.points)]
        return TrainConfig(
            steps=self.steps,
            batch_size=self.batch_size,
            optimizer="sgd",
            lr=self.eta,
            schedule="constant",
            warmup=0.0,
            weight_decay=0.0,
            masking=masking,
            stop_at_saturation=False,
            checkpoints=marks,
            evaluate_every=marks[0],
            evaluate_growth=1.0,
            seed=self.phase_seed,
        )


def largest_eigenvalues(run: Run, step: int) -> list[Estimate]:
    """The largest eigenvalues of the Gauss-Newton matrix of a checkpoint, with standard errors over contexts.

    Args:
        run: the run.
        step: the step of the checkpoint.

    Returns:
        Up to five eigenvalues, nats per squared parameter, the largest first.
    """
    config = FlatnessConfig(method="lanczos-gauss-newton", contexts=CURVED)
    rows = [row for row in measure_flatness(run, config, step) if "/" not in row["block"]]
    return [Estimate(row["value"], row["stderr"], row["n"]) for row in rows]


def largest_eigenvalue(run: Run, step: int) -> float:
    """The largest eigenvalue of the Gauss-Newton matrix of a checkpoint. Writes nothing.

    Args:
        run: the run.
        step: the step of the checkpoint.

    Returns:
        The eigenvalue, nats per squared parameter.
    """
    ((_, folder),) = chosen_checkpoints(run, step)
    model, generator = (
        load_model(folder).to(run.language.device),
        random_stream(0, "flatness", device=run.language.device),
    )
    sentences = run.language.sample(CURVED, generator, latents=False)
    return top_eigenvalues(model, sentences, 1, "gauss-newton", masking=run.config.masking or "one")[0].value


def check_task(run: Run, task: str | None) -> None:
    """Checks, before training, that the task can be probed. Raises InputError as `check_probe` does."""
    if task is not None:
        check_probe(run, task, PROBE, None, None)


def check_drifts(run: Run) -> None:
    """Checks that Theorem 4.3 applies to a run.

    Raises:
        InputError: for a run without a first phase, for one that is not plain SGD at a constant rate on sampled words,
            and for one whose clock stands still.
    """
    config, origin = run.config, run.origin
    if origin is None:
        raise InputError(
            f"{run.folder}: training began with random weights, expected a second phase from a saturated checkpoint; "
            "give --out, and SGD goes on from this run"
        )
    wanted = {
        "optimizer": (config.optimizer, "sgd"),
        "momentum": (config.momentum, 0.0),
        "schedule": (config.schedule, "constant"),
        "warmup": (config.warmup, 0.0),
        "weight_decay": (config.weight_decay, 0.0),
        "adversary_task": (config.adversary_task, None),
    }
    for name, (given, expected) in wanted.items():
        if given != expected:
            raise InputError(
                f"{run.folder}: {name} is {given!r}, expected {expected!r}: the theorem is about plain SGD at a "
                "constant step and says nothing of this run; use satlab table"
            )
    last = chosen_checkpoints(run, None)[-1][0]
    if not config.lr**2 * last / config.batch_size > 0:
        raise InputError(
            f"{run.folder}: its clock eta^2 k / B is 0 at its last checkpoint (eta {config.lr:g}, k {last}, "
            f"B {config.batch_size}), expected a positive one; train with a larger lr, or for longer"
        )


def drift_rows(run: Run, task: str | None, contexts: int, sentences: int) -> Iterator[Row]:
    """The rows of a second phase of SGD. Earlier measurements are reused.

    Args:
        run: the second phase.
        task: the task whose accuracy a linear probe measures; None for no task.
        contexts: the number of contexts on which Tr(H) is measured.
        sentences: the number of sentences on which KL is measured.

    Yields:
        Rows with the keys run, step, eta, batch_size, targets, clock; kl, floor, trace and accuracy, each with its
        standard error and n; largest_eigenvalue, floor_of_step; and saturated_start, whether the upper 95 % bound of
        KL at the start is below the run's threshold, or null if the start no longer exists.

    Raises:
        InputError: as `check_drifts` and the measurements do.
    """
    check_drifts(run)
    eta, batch = run.config.lr, run.config.batch_size
    noisy = run.config.targets == "sampled"
    at_start, saturated = _start(run), None
    phases: list[tuple[Run, int, int]] = [(run, at, at) for at, _ in run.checkpoints]
    if at_start is not None:
        phases.insert(0, (*at_start, 0))
    for where, step, shown in phases:
        kl, trace, accuracy = _measured(where, step, task, contexts, sentences)
        if shown == 0:
            saturated = kl.value + ONE_SIDED_95 * kl.stderr < run.config.threshold
        row: Row = {
            "run": str(run.folder),
            "step": shown,
            "eta": eta,
            "batch_size": batch,
            "targets": run.config.targets,
        }
        row["clock"] = eta**2 * shown / batch
        share = eta / (4 * batch) if noisy else 0.0
        floor = Estimate(share * trace.value, share * trace.stderr, trace.n)
        largest = largest_eigenvalues(where, step)
        surplus = _surplus([one.value for one in largest], eta)
        row |= {"largest_eigenvalue": largest[0].value, "largest_eigenvalue_stderr": largest[0].stderr}
        row["floor_of_step"] = None if surplus is None else floor.value + share * surplus
        named = {"kl": kl, "floor": floor, "trace": trace} | ({} if accuracy is None else {"accuracy": accuracy})
        for name, found in named.items():
            row |= {name: found.value, f"{name}_stderr": found.stderr, f"{name}_n": found.n}
        yield row | {"saturated_start": saturated}


def _surplus(eigenvalues: list[float], eta: float) -> float | None:
    """sum l / (1 - eta l / 2) - l, nats per squared parameter; None if SGD is not stable at this learning rate."""
    if eta * max(eigenvalues) >= 2:
        return None
    return sum(one / (1 - eta * one / 2) - one for one in eigenvalues)


def _start(run: Run) -> tuple[Run, int] | None:
    """The run and the step of the checkpoint with which a phase began; None if it is gone or has other weights."""
    assert run.origin is not None
    try:
        first = load_run(Path(run.origin.run))
        found = origin_of(first, run.origin.step)
    except InputError:
        return None
    if found.weights_sha256 != run.origin.weights_sha256 or found.step is None:
        return None
    return first, found.step


def _measured(
    run: Run, step: int, task: str | None, contexts: int, sentences: int
) -> tuple[Estimate, Estimate, Estimate | None]:
    """KL, Tr(H) and accuracy of a checkpoint."""
    kl = next(iter(measure_kl(run, EvaluateConfig(sentences=sentences), step)))
    flat = measure_flatness(run, FlatnessConfig(contexts=contexts), step)
    trace = next(row for row in flat if row["block"] == "total")
    found: list[Estimate | None] = [Estimate(row["value"], row["stderr"], row["n"]) for row in (kl, trace)]
    if task is not None:
        probe = next(iter(measure_probe(run, task, PROBE, step)))
        found.append(Estimate(probe["value"], probe["stderr"], probe["n"]))
    first, second, third = (*found, None)[:3]
    assert first is not None
    assert second is not None
    return first, second, third
