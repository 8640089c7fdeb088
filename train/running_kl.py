"""KL(truth || model) on the training batches, which exact targets give at every step at no extra cost.

The loss of a step is computed before the update. If the batch is fresh, its excess over the entropy of the truth is an
unbiased estimate of KL. A running mean of this excess signals saturation early; held-out sentences then confirm it.
"""

import math

import torch
from torch import Tensor

from ..estimate import ONE_SIDED_95

WINDOW = 20
"""The span of the running mean, in steps: each further step multiplies the weight of earlier ones by 1 - 1/WINDOW."""

LEAST_STEPS = 10
"""The fewest steps between a row of metrics and a following row that the running mean triggers."""


class RunningKL:
    """The exponentially weighted mean of the excesses of the last steps, with its standard error.

        mean = sum_k w_k x_k / W,    error^2 = sum_k w_k (x_k - mean)^2 / W * (W2 / W^2) / (1 - W2 / W^2),

    where w_k = (1 - 1/WINDOW)^(steps since k), W = sum_k w_k and W2 = sum_k w_k^2. While KL falls, the mean lies above
    the KL of the last step, and the error is too large rather than too small.

    Args:
        device: the device of the losses. The sums stay there, so that no step waits for a GPU.
        state: the four numbers W, W2, mean and weighted sum of squares, as `state` returned them; None or empty at the
            beginning.
    """

    def __init__(self, device: torch.device, state: list[float] | None = None) -> None:
        self.sums = torch.tensor(state or [0.0] * 4, dtype=torch.float64, device=device)

    @property
    def state(self) -> list[float]:
        """The four numbers, which JSON stores exactly; empty before the first step."""
        sums: list[float] = self.sums.tolist()
        return sums if sums[0] > 0 else []

    def add(self, excess: Tensor) -> None:
        """Adds the excess of the next step, a scalar in nats."""
        keep = 1 - 1 / WINDOW
        weight, squared, mean, spread = self.sums
        weight, squared, excess = keep * weight + 1, keep**2 * squared + 1, excess.to(torch.float64)
        away = excess - mean
        mean = mean + away / weight
        spread = keep * spread + away * (excess - mean)
        self.sums = torch.stack([weight, squared, mean, spread])

    @property
    def value(self) -> float | None:
        """The running mean, nats; None before the first step."""
        return self.state[2] if self.state else None

    @property
    def stderr(self) -> float | None:
        """Its standard error, nats; None before the second step."""
        weight, squared, _, spread = self.state or (1.0, 1.0, 0.0, 0.0)
        share = squared / weight**2
        return math.sqrt(max(0.0, spread) / weight * share / (1 - share)) if share < 1 - 1e-9 else None

    def below(self, threshold: float) -> bool:
        """Whether the upper end of the one-sided 95 % interval is below a threshold, nats."""
        value, stderr = self.value, self.stderr
        return value is not None and stderr is not None and value + ONE_SIDED_95 * stderr < threshold
