"""SGD on sampled words from one start, many replicas side by side.

Each replica has draws of its own. A step's gradient reaches the parameters through the logits, where it is
(mass of the context) f - (mass on the words) for each context: one backward pass serves all replicas.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ...errors import InputError, at_least
from ...estimate import Estimate
from .noises import Noise, SampledWords
from .ode import check_step, kl_floor
from .problem import FiniteProblem

NUMBERS = 2**20
"""Numbers in the targets that are drawn at once."""

SATURATED = 1e-6
"""KL of a start that counts as saturated, nats."""


@dataclass(frozen=True)
class SgdRow:
    """The replicas after some steps.

    Args:
        step: k.
        clock: eta^2 k / B.
        theta: the replicas' parameters, [R, P].
        kl: KL(p* || f), nats.
        trace: Tr(H), nats.
        floor: eta Tr(H) / (4 B), what KL is in theory once it has settled.
    """

    step: int
    clock: float
    theta: Tensor
    kl: Estimate
    trace: Estimate
    floor: Estimate


def sgd_replicas(
    problem: FiniteProblem,
    start: Tensor,
    eta: float,
    batch: int,
    steps: Sequence[int],
    replicas: int,
    generator: torch.Generator,
    noise: Noise | None = None,
) -> Iterator[SgdRow]:
    """SGD at a constant step from one start.

    Args:
        problem: the contexts and the model.
        start: [P]; a warning where it is not saturated.
        eta: the step, below 2 / lambda_max at the start.
        batch: B, words of a step.
        steps: after which a row is given, increasing, from 0 on.
        replicas: R, with draws of their own.
        generator: the source of all draws.
        noise: how targets are drawn; sampled words unless given.

    Yields:
        A row for each of the steps.

    Raises:
        InputError: for a step too large for the start's curvature, and where a replica is no longer finite.
    """
    noise = noise or SampledWords()
    at_least("batch", batch, 1)
    at_least("replicas", replicas, 2)
    aim = replace(problem, truth=noise.truth(problem.truth))
    largest = float(torch.linalg.matrix_norm(aim.jacobian(start), 2)) ** 2
    check_step(eta, largest)
    _warn_of_start(float(aim.kl(start[None])[0]))
    theta, done = start.expand(replicas, -1).clone(), 0
    for step in steps:
        for targets in _drawn(problem, noise, batch, step - done, replicas, generator):
            for target in targets:
                theta = theta - eta * noise.added(_gradient(problem, theta, target), batch, generator)
        done = step
        if not bool(theta.isfinite().all()):
            raise InputError(f"a replica is not finite after step {step} at eta {eta:g}; give a smaller step")
        trace = Estimate.from_samples(problem.trace(theta))
        floor = kl_floor(trace, eta, batch)
        yield SgdRow(step, eta**2 * step / batch, theta, Estimate.from_samples(aim.kl(theta)), trace, floor)


def _gradient(problem: FiniteProblem, theta: Tensor, target: Tensor) -> Tensor:
    """The gradient of each replica's loss, [R, P]."""
    theta = theta.detach().requires_grad_()
    with torch.enable_grad():
        logits = problem.logits(theta)
    by_logits = target.sum(-1, keepdim=True) * logits.detach().softmax(-1) - target
    (found,) = torch.autograd.grad(logits, theta, by_logits)
    return found


def _drawn(
    problem: FiniteProblem, noise: Noise, batch: int, steps: int, replicas: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """The targets of so many steps, some at a time."""
    at_once = max(1, NUMBERS // (replicas * max(batch, problem.truth.numel())))
    for begin in range(0, steps, at_once):
        yield noise.targets(problem.joint, batch, (min(at_once, steps - begin), replicas), generator)


def _warn_of_start(kl: float) -> None:
    if kl > SATURATED:
        warnings.warn(
            f"the start is not saturated: KL {kl:.2g} nats, expected at most {SATURATED:g}; Tr(H) is not only moved by "
            "the drift along the minimum",
            stacklevel=3,
        )
