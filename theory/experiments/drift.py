"""SGD on sampled words against the ODE of Theorem 4.3, on a deep linear softmax whose truth is what it computes."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, at_least
from ...randomness import random_stream
from ...spec import parse_spec, spec_of
from ..drift import FiniteProblem, Noise, deep_linear, drift_ode, noises, sgd_replicas
from ..drift.ode import check_step, kl_floor_of_step
from ..experiment import Experiment, Panel, Row, experiments

CLOCK = "clock eta^2 k / B"
TRACE = "Tr(H), nats"


@experiments.register("drift")
@dataclass(frozen=True)
class Drift(Experiment):
    """Tr(H) along the minimum: SGD at several steps and batch sizes, and the ODE with factor 1/4 and 1/2.

    Args:
        etas: steps of SGD at batch size 1, with spaces between them.
        batches: batch sizes of SGD at the largest step, with spaces.
        noises: other noises than sampled words, with spaces; at the second largest step and batch size 1: controls.
        clock: t = eta^2 k / B up to which all run.
        points: rows of a curve, beside the first.
        replicas: SGD side by side.
        seed: of the system and of all draws.
    """

    etas: str = "0.2 0.1 0.05"
    batches: str = "4 16"
    noises: str = "exact smoothed isotropic"
    clock: float = 12.0
    points: int = 6
    replicas: int = 100
    seed: int = 4

    source = "Liu, Xie, Li and Ma 2022, Theorem 4.3"

    panels = (
        Panel("clock", "trace", "against the clock: one curve", CLOCK, TRACE, only=("SGD", "ODE")),
        Panel("step", "trace", "against steps: no curve", "step k", TRACE, "x", only=("SGD",)),
        Panel("clock", "trace", "controls: other noises", CLOCK, TRACE, only=("noise", "ODE, factor 1/4")),
        Panel(
            "floor",
            "kl",
            "KL of SGD against its prediction",
            "eta Tr(H) / (4 B), nats",
            "KL(truth || model), nats",
            "xy",
            diagonal=True,
            points=True,
            only=("SGD",),
        ),
    )

    def __post_init__(self) -> None:
        if not self._numbers("etas", float):
            raise InputError("etas is empty, expected steps such as 0.1; name at least one")
        self._numbers("batches", int)
        for name in ("points", "clock"):
            at_least(name, getattr(self, name), 1)
        at_least("replicas", self.replicas, 2)
        self._others()

    @override
    def check(self) -> None:
        problem, start = deep_linear(seed=self.seed)
        largest = float(torch.linalg.matrix_norm(problem.jacobian(start), 2)) ** 2
        for eta in self._numbers("etas", float):
            check_step(eta, largest)

    @override
    def cells(self) -> tuple[str, ...]:
        etas = self._numbers("etas", float)
        small = [f"SGD, eta {eta:g}, B 1" for eta in etas]
        large = [f"SGD, eta {max(etas):g}, B {batch}" for batch in self._numbers("batches", int)]
        others = [f"noise {spec_of(name, noise)}" for name, noise in self._others()]
        return ("ODE, factor 1/4", "ODE, factor 1/2", *small, *large, *others)

    @override
    def rows(self, cell: str) -> Iterator[Row]:
        problem, start = deep_linear(seed=self.seed)
        if cell.startswith("ODE"):
            yield from self._limit(problem, start, cell, 0.25 if cell.endswith("1/4") else 0.5)
            return
        if cell.startswith("noise"):
            noise = next(noise for name, noise in self._others() if cell == f"noise {spec_of(name, noise)}")
            yield from self._sgd(problem, start, cell, sorted(self._numbers("etas", float))[-2:][0], 1, noise)
            return
        eta, batch = (text.split()[1] for text in cell.split(", ")[1:])
        yield from self._sgd(problem, start, cell, float(eta), int(batch), None)

    def _numbers(self, name: str, kind: type[float]) -> list[float]:
        """The positive numbers that a setting lists."""
        found = []
        for text in getattr(self, name).split():
            try:
                number = kind(text)
            except ValueError:
                number = 0
            if not 0 < number < float("inf"):
                raise InputError(f"{name} has '{text:.40}', expected positive numbers with spaces between; correct it")
            found.append(number)
        return found

    def _others(self) -> list[tuple[str, Noise]]:
        parsed = [parse_spec(noise, noises) for noise in self.noises.split()]
        return [(noises.name_of(noise), noise) for noise in parsed]

    def _times(self) -> list[float]:
        return [self.clock * i / self.points for i in range(self.points + 1)]

    def _limit(self, problem: FiniteProblem, start: Tensor, cell: str, factor: float) -> Iterator[Row]:
        path = drift_ode(problem, start, self._times(), factor)
        for time, trace in zip(path.times.tolist(), path.trace.tolist(), strict=True):
            yield {"label": cell, "clock": time, "trace": trace, "trace_stderr": 0.0, "n": 1}

    def _sgd(
        self, problem: FiniteProblem, start: Tensor, cell: str, eta: float, batch: int, noise: Noise | None
    ) -> Iterator[Row]:
        generator = random_stream(self.seed, "theory", self.cells().index(cell))
        steps = [round(time * batch / eta**2) for time in self._times()]
        for row in sgd_replicas(problem, start, eta, batch, steps, self.replicas, generator, noise):
            yield {
                "label": cell,
                "eta": eta,
                "batch": batch,
                "step": row.step,
                "clock": row.clock,
                "trace": row.trace.value,
                "trace_stderr": row.trace.stderr,
                "kl": row.kl.value,
                "kl_stderr": row.kl.stderr,
                "floor": row.floor.value,
                "floor_of_step": _floor_of_step(problem, row.theta, eta, batch),
                "n": row.trace.n,
            }


def _floor_of_step(problem: FiniteProblem, theta: Tensor, eta: float, batch: int) -> float | None:
    """The floor at this step without the limit of small ones, from the curvature where the mean replica stands."""
    values = torch.linalg.svdvals(problem.jacobian(theta.mean(0))).square()
    return kl_floor_of_step(values, eta, batch) if eta * float(values.max()) < 2 else None
