"""The limit of SGD with small steps: d theta / dt = -1/4 grad_Gamma Tr(H), on the manifold of minimisers.

Off Gamma the covariance C of SGD with batch size B solves H C + C H = eta H / B, so C = eta / (2 B) on the range of H.
The third derivatives of the loss turn it into a mean step of -eta/2 d^2(grad L)[C], whose part along Gamma is
-(eta^2 / 4 B) grad_Gamma Tr(H): in the clock t = eta^2 k / B the factor is 1/4.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from ...errors import InputError, at_least
from ...estimate import Estimate
from .problem import FiniteProblem

FACTOR = 0.25

FIRST, SMALLEST, LARGEST = 1e-2, 1e-9, 0.5
"""Steps of the clock: the first one tried, the smallest before giving up, and the largest."""

ROUNDING = 1e-12
"""Differences of times that are no difference."""


@dataclass(frozen=True)
class Path:
    """A solution of the ODE at the times asked for.

    Args:
        times: of the clock, [n].
        theta: the points of Gamma, [n, P].
        trace: Tr(H) there, [n], nats.
        evaluations: of the velocity, in all.
    """

    times: Tensor
    theta: Tensor
    trace: Tensor
    evaluations: int


def velocity(problem: FiniteProblem, theta: Tensor, factor: float = FACTOR) -> Tensor:
    """-factor times the gradient of Tr(H) along ker A, [P], at a point near Gamma; ker A is ker H on it."""
    return -factor * problem.trace_along(theta)


def drift_ode(
    problem: FiniteProblem, start: Tensor, times: Sequence[float], factor: float = FACTOR, tolerance: float = 1e-6
) -> Path:
    """The ODE from a point of Gamma on.

    A step follows the velocity, which lies in ker H, by the pair of Bogacki and Shampine (1989): the third-order result
    is taken, its difference from the second-order one sets the step. Gauss-Newton steps then bring it back to f = p*.

    Args:
        problem: the contexts and the model.
        start: [P]; a point off Gamma is brought to it first.
        times: of the clock, from 0 on, increasing.
        factor: 1/4 as in the theorem, or another one to compare with.
        tolerance: the largest difference of the two results in a step, per unit of 1 + ||theta||.

    Returns:
        The path.

    Raises:
        InputError: for decreasing or negative times, and where no minimiser is within reach.
    """
    if not tolerance > 0:
        raise InputError(f"tolerance is {tolerance}, expected a positive number; correct it")
    if not len(times) or times[0] < 0 or any(b <= a for a, b in pairwise(times)):
        raise InputError(f"times are {list(times)!r:.80}, expected increasing numbers from 0 on; correct them")
    theta, at, step, evaluations = problem.retract(start), 0.0, FIRST, 1
    slope, found = velocity(problem, theta, factor), []
    for time in times:
        while at < time - ROUNDING:
            step = min(step, LARGEST)
            tried = min(step, time - at)
            at_least("step of the clock", tried, SMALLEST if tried < time - at else 0.0)
            ahead, error = _one_step(problem, theta, slope, tried, factor)
            evaluations += 3
            change = 0.9 * (tolerance / max(error, 1e-300)) ** (1 / 3)
            if error <= tolerance:
                theta, at = problem.retract(ahead), at + tried
                slope = velocity(problem, theta, factor)
            wanted = tried * min(5.0, change)
            # A step that an asked time cut short says little of the next one.
            step = max(step, wanted) if error <= tolerance and tried < step else wanted
        found.append(theta)
    points = torch.stack(found)
    return Path(torch.tensor(list(times), dtype=torch.float64), points, problem.trace(points).detach(), evaluations)


def _one_step(problem: FiniteProblem, theta: Tensor, slope: Tensor, step: float, factor: float) -> tuple[Tensor, float]:
    """The third-order result of a step, and its distance to the second-order one, per unit of 1 + ||theta||."""
    second = velocity(problem, theta + step / 2 * slope, factor)
    third = velocity(problem, theta + 3 / 4 * step * second, factor)
    ahead = theta + step * (2 / 9 * slope + 1 / 3 * second + 4 / 9 * third)
    fourth = velocity(problem, ahead, factor)
    apart = step * (-5 / 72 * slope + 1 / 12 * second + 1 / 9 * third - 1 / 8 * fourth)
    return ahead, float(apart.norm() / (1 + theta.norm()))


def kl_floor(trace: Estimate | float, eta: float, batch: int) -> Estimate:
    """KL of SGD at a constant step, at saturation: eta Tr(H) / (4 B), nats.

    It is half the trace of H C, with the covariance C = eta / (2 B) on the range of H.

    Args:
        trace: Tr(H), nats.
        eta: the step.
        batch: B.

    Returns:
        The floor.
    """
    known = trace if isinstance(trace, Estimate) else Estimate(trace, 0.0, 1)
    share = eta / (4 * batch)
    return Estimate(share * known.value, share * known.stderr, known.n)


def kl_floor_of_step(eigenvalues: Tensor, eta: float, batch: int) -> float:
    """The floor without the limit of small steps: eta / (4 B) sum_i l_i / (1 - eta l_i / 2), nats.

    A step multiplies the covariance along an eigenvector of H by (1 - eta l)^2 and adds eta^2 l / B.

    Args:
        eigenvalues: l of H, [M].
        eta: the step, below 2 / max l.
        batch: B.

    Returns:
        The floor.

    Raises:
        InputError: for a step at which SGD does not stay near the minimum.
    """
    check_step(eta, float(eigenvalues.max()))
    return float(eta / (4 * batch) * (eigenvalues / (1 - eta * eigenvalues / 2)).sum())


def kl_spread(eigenvalues: Tensor, eta: float, batch: int) -> float:
    """The standard deviation of KL at one step of one settled run, nats.

    It is eta / (4 B) (2 sum_i (l_i / (1 - eta l_i / 2))^2)^(1/2). Near Gamma, KL is a sum of squares of normal numbers,
    one for each eigenvector of H, so that a few large eigenvalues make it swing by much of its mean.

    Args:
        eigenvalues: l of H, [M]; the largest alone give a lower bound.
        eta: the step, below 2 / max l.
        batch: B.

    Returns:
        The deviation, nats.

    Raises:
        InputError: for a step at which SGD does not stay near the minimum.
    """
    check_step(eta, float(eigenvalues.max()))
    return float(eta / (4 * batch) * (2 * (eigenvalues / (1 - eta * eigenvalues / 2)).square().sum()).sqrt())


def check_step(eta: float, largest: float) -> None:
    """Checks that a step is below 2 / lambda_max.

    Args:
        eta: the step.
        largest: the largest eigenvalue of H, as measured.

    Raises:
        InputError: for a larger one, with the measured eigenvalue.
    """
    if not eta > 0 or not eta * largest < 2:
        raise InputError(
            f"eta is {eta:g}, but the largest eigenvalue of H is {largest:.3g}, expected a step below 2 / "
            f"{largest:.3g} = {2 / largest:.3g}; give a smaller one"
        )
