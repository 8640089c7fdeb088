"""L-BFGS for smooth convex functions. Its line search relies on slopes when rounding makes values unreliable."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

Function = Callable[[Tensor], tuple[float, Tensor]]
"""point -> (value, gradient of the point's shape)."""

HISTORY = 20
"""The number of past steps kept."""

DECREASE, CURVATURE = 1e-4, 0.9
"""The constants of Wolfe's conditions: value <= value_0 + 1e-4 t slope_0, and slope >= 0.9 slope_0."""

ROUNDING = 1e-6
"""An increase of the value by at most this share counts as rounding if the slopes accept the step."""

MOST_TRIALS = 25
"""The most points that a line search tries."""


class History:
    """The last steps s and changes of the gradient y, with all their scalar products.

    With these, the two-loop recursion needs one product with all vectors and a few sums over scalars (Chen, Wang and
    Zhou 2014).

    Args:
        like: a point; gives the number of parameters N, dtype and device.
    """

    def __init__(self, like: Tensor) -> None:
        self.vectors = like.new_zeros(2 * HISTORY, like.numel())
        self.products = np.zeros((2 * HISTORY, 2 * HISTORY))
        self.slots: list[int] = []

    def add(self, step: Tensor, change: Tensor) -> None:
        """Adds a pair s [N], y [N], which replaces the oldest of HISTORY pairs. Ignores it if s . y is not positive."""
        if not float(step @ change) > 0:
            return
        slot = len(self.slots) if len(self.slots) < HISTORY else self.slots.pop(0)
        self.slots.append(slot)
        for place, vector in ((slot, step), (HISTORY + slot, change)):
            self.vectors[place] = vector
        for place in (slot, HISTORY + slot):
            row = (self.vectors @ self.vectors[place]).cpu().numpy()
            self.products[place], self.products[:, place] = row, row

    def direction(self, gradient: Tensor) -> Tensor:
        """The direction [N]: minus the approximate inverse Hessian times the gradient [N]."""
        if not self.slots:
            return -gradient
        along = (self.vectors @ gradient).cpu().numpy()
        share, factor = np.zeros(2 * HISTORY), 1.0
        alphas = {}
        for i in reversed(self.slots):
            alphas[i] = (along[i] + self.products[i] @ share) / self.products[i, HISTORY + i]
            share[HISTORY + i] -= alphas[i]
        newest = self.slots[-1]
        factor = self.products[newest, HISTORY + newest] / self.products[HISTORY + newest, HISTORY + newest]
        share *= factor
        for i in self.slots:
            beta = factor * along[HISTORY + i] + self.products[HISTORY + i] @ share
            share[i] += alphas[i] - beta / self.products[i, HISTORY + i]
        direction: Tensor = -(factor * gradient + torch.from_numpy(share).to(gradient) @ self.vectors)
        return direction


def largest_entry(gradient: Tensor) -> float:
    """The largest absolute value in it."""
    return float(gradient.abs().max())


def lbfgs(
    function: Function,
    begin: Tensor,
    tolerance: float,
    max_iterations: int,
    size: Callable[[Tensor], float] = largest_entry,
) -> tuple[Tensor, Tensor, int]:
    """Minimises a function until the gradient's size is within the tolerance, or no step reduces the value further.

    Args:
        function: the function to minimise.
        begin: the starting point.
        tolerance: the largest size of the gradient at the optimum.
        max_iterations: the most steps.
        size: the size of a gradient.

    Returns:
        The last point, the gradient there and the number of iterations.
    """
    point, (value, gradient) = begin, function(begin)
    history, iterations = History(begin), 0
    while size(gradient) > tolerance and iterations < max_iterations:
        direction = history.direction(gradient.flatten()).view_as(point)
        found = _line_search(function, point, value, gradient, direction)
        if found is None:
            if not history.slots:
                break
            # Rounding may have corrupted the history: restart with steepest descent.
            history = History(begin)
            continue
        there, value, slope = found
        history.add((there - point).flatten(), (slope - gradient).flatten())
        point, gradient, iterations = there, slope, iterations + 1
    return point, gradient, iterations


def _line_search(
    function: Function, point: Tensor, value: float, gradient: Tensor, direction: Tensor
) -> tuple[Tensor, float, Tensor] | None:
    """Finds a step that satisfies Wolfe's conditions, or the approximate ones of Hager and Zhang (2005).

    Returns:
        Point, value and gradient after the step; None if no such step is found.
    """
    slope_0 = float((gradient * direction).sum())
    if not slope_0 < 0:
        return None
    near, near_slope, far, far_slope, t = 0.0, slope_0, np.inf, np.nan, 1.0
    for _ in range(MOST_TRIALS):
        there = point + t * direction
        height, steepness = function(there)
        slope = float((steepness * direction).sum())
        enough = height <= value + DECREASE * t * slope_0
        flat = height <= value + ROUNDING * abs(value) and slope <= (2 * DECREASE - 1) * slope_0
        if not (enough or flat):
            far, far_slope = t, slope
        elif slope < CURVATURE * slope_0:
            near, near_slope = t, slope
        else:
            return there, height, steepness
        t = 2 * t if far == np.inf else _between(near, near_slope, far, far_slope)
    return None


def _between(near: float, near_slope: float, far: float, far_slope: float) -> float:
    """The zero of the linearly interpolated slope, kept away from both ends; the midpoint if there is none."""
    width = far - near
    secant = near - near_slope * width / (far_slope - near_slope) if far_slope > near_slope else near + width / 2
    if not np.isfinite(secant):
        secant = near + width / 2
    return float(min(max(secant, near + 0.1 * width), far - 0.1 * width))
