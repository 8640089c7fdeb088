"""The bootstrap over independent groups: how often each is drawn, and Efron's corrected interval.

Checkpoints of one run are not independent, so a resample draws runs (groups) with replacement and takes all that
belongs to them. A resample is a row of weights: how often each group was drawn.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ...randomness import WholeNumbers

LEAST_GROUPS = 5
"""Independent groups that an interval takes; of fewer it would cover too seldom."""

LEVEL = 0.95
AGREE = "the resamples agree, or most have no spread: no interval"

Array = NDArray[np.float64]


def drawn_groups(count: int, resamples: int, seed: int, block: int) -> Iterator[Array]:
    """Yields how often each group was drawn, a row for each resample.

    Args:
        count: groups.
        resamples: in all.
        seed: of the bootstrap.
        block: resamples that are held at once.

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
    """The ends of the interval: quantiles of the resamples at Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = +-1.96.

    z0 = Phi^-1 of the share of resamples below the value; a = sum d^3 / (6 (sum d^2)^1.5), where d is how far the value
    without each group lies below the mean of these values (Efron 1987).

    Args:
        value: the statistic.
        drawn: the statistic of each resample, [resamples]; nan where it is not defined.
        without: the statistic without each group, [groups]; nan where it is not defined.

    Returns:
        The lower and the upper end; None where all resamples agree, or it is not defined of most: the bootstrap then
        knows no spread.
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
        # Beyond the pole of the correction is beyond all resamples.
        level = float(ndtr(bias + (bias + z) / scale)) if scale > 0 else float(z > 0)
        ends.append(float(np.quantile(known, level)))
    return min(ends), max(ends)
