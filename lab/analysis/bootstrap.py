"""The bootstrap over independent groups: the resamples, and Efron's corrected interval.

Checkpoints of one run are not independent, so a resample draws runs (groups) with replacement, with all their
checkpoints. A resample is a row of weights: how often each group was drawn.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...randomness import WholeNumbers

LEAST_GROUPS = 5
"""The fewest independent groups for an interval. With fewer, its coverage would be too low."""

LEVEL = 0.95
AGREE = "the resamples agree, or most have no spread: no interval"

Array = NDArray[np.float64]


def drawn_groups(count: int, resamples: int, seed: int, block: int) -> Iterator[Array]:
    """Draws resamples. Each is a row that counts how often each group was drawn.

    Args:
        count: number of groups.
        resamples: number of resamples.
        seed: seed of the bootstrap.
        block: the most resamples in one yielded array.

    Yields:
        Weights [block or fewer, count]; each row adds up to `count`.
    """
    stream = WholeNumbers(seed, "bootstrap")
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        chosen = stream.below(count, (rows, count)) + count * np.arange(rows)[:, None]
        times = np.bincount(chosen.reshape(-1), minlength=rows * count).reshape(rows, count)
        yield times.astype(np.float64)


def bca(value: float, drawn: Array, without: Array) -> tuple[float, float] | None:
    """The ends of the 95 % interval: quantiles of the resamples at Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = +-1.96.

    z0 = Phi^-1 of the share of resamples below the value; a = sum d^3 / (6 (sum d^2)^1.5), where d is the mean of the
    jackknife values minus the value without one group (Efron 1987).

    Args:
        value: the statistic.
        drawn: the statistic of each resample, [resamples]; nan if it is not defined.
        without: the statistic without each group, [groups]; nan if it is not defined.

    Returns:
        The lower and the upper end; None if all resamples agree or most have no defined statistic, because the
        bootstrap then does not show the spread.
    """
    from scipy.special import ndtr, ndtri

    known = drawn[~np.isnan(drawn)]
    if 2 * len(known) < len(drawn) or np.ptp(known) < 1e-9:
        return None
    share = float(np.mean(known < value) + np.mean(known <= value)) / 2
    share = min(max(share, 0.5 / len(known)), 1 - 0.5 / len(known))
    left = without[~np.isnan(without)]
    below = left.mean() - left if len(left) else np.zeros(1)
    spread = float((below**2).sum())
    acceleration = float((below**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    bias, tail = float(ndtri(share)), float(ndtri(0.5 + LEVEL / 2))
    ends = []
    for z in (-tail, tail):
        scale = 1 - acceleration * (bias + z)
        # Beyond the pole of the correction, the end is the most extreme resample.
        level = float(ndtr(bias + (bias + z) / scale)) if scale > 0 else float(z > 0)
        ends.append(float(np.quantile(known, level)))
    return min(ends), max(ends)
