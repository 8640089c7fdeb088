"""Finds checkpoints of equal KL: pairs from different runs, and strata.

KL, Tr(H) and accuracy change together during training, so flatness and accuracy can be compared only at equal KL. Two
KL agree if their difference d is small compared with its standard error s or with their mean m:

    |d| <= max(z s, tolerance |m|),  s^2 = stderr_1^2 + stderr_2^2.

With imprecise measurements any two KL would agree. So s must also be at most tolerance |m|, unless both checkpoints are
saturated, which bounds their KL. All runs are measured on the same held-out sentences, so their errors are positively
correlated, and s, which assumes independence, is too large rather than too small.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import InputError, check_types

Row = dict[str, Any]
Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class MatchConfig:
    """When two checkpoints count as having the same KL.

    Args:
        z: number of standard errors by which two KL may differ.
        tolerance: share of their mean by which two KL may differ; also the largest standard error of the difference,
            unless both are saturated.
    """

    z: float = 1.96
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        check_types(self)
        for name, least in (("z", self.z), ("tolerance", self.tolerance)):
            if not (math.isfinite(least) and least >= 0):
                raise InputError(f"{name} is {least}, expected a number of at least 0; correct it")


@dataclass(frozen=True)
class Pairs:
    """Pairs of checkpoints of different runs whose KL agrees, each with the flatter one first.

    Args:
        points: the checkpoints, as `points_of` returns them.
        flatter, sharper: indices of the points, [n]; if Tr(H) is equal, the earlier point counts as the flatter one.
        kinds: the trace that compares them, [n]: trace or enlarged.
        halvings: log2 of Tr(H) of the sharper over that of the flatter, at least 0, [n].
        gain: accuracy of the flatter minus that of the sharper, [n].
        kl_left: KL of the flatter minus that of the sharper, as a share of their mean, [n].
        stratum: the stratum of both, [n]; -1 if they are in different strata or not saturated.
        imprecise: number of pairs that would agree if their KL were known precisely enough.
    """

    points: list[Row]
    flatter: Places
    sharper: Places
    kinds: NDArray[np.str_]
    halvings: Array
    gain: Array
    kl_left: Array
    stratum: Places
    imprecise: int

    def same(self, key: str) -> Flags:
        """Whether both checkpoints of a pair have the same value of a key, [n]."""
        values = [point[key] for point in self.points]
        return np.array([values[i] == values[j] for i, j in zip(self.flatter, self.sharper, strict=True)], dtype=bool)

    @property
    def saturated(self) -> Flags:
        """Whether both are saturated, [n]."""
        values = np.array([point["saturated"] for point in self.points], dtype=bool)
        both: Flags = values[self.flatter] & values[self.sharper]
        return both


def pairs_of(points: list[Row], config: MatchConfig) -> Pairs:
    """All pairs of checkpoints of different runs whose KL agrees.

    Checkpoints of one architecture are compared by plain Tr(H). Checkpoints of two architectures are compared by Tr(H)
    inside the same larger model if both have it. A checkpoint may be in many pairs.

    Args:
        points: points of one task and probe. Those without KL, its error, accuracy or a positive Tr(H) are left out.
        config: when two KL agree.

    Returns:
        The pairs.
    """
    used = [point for point in points if _usable(point)]
    kl, error = (np.array([point[key] for point in used], dtype=np.float64) for key in ("kl", "kl_stderr"))
    saturated = np.array([point["saturated"] for point in used], dtype=bool)
    close, known = _agreement(kl, error, saturated, config)
    runs = np.unique([point["run"] for point in used], return_inverse=True)[1]
    apart = np.triu(runs[:, None] != runs[None, :])
    first, second = np.nonzero(close & known & apart)
    strata = _strata(kl, close, saturated)
    kinds, ratio = _ratios(used, first, second)
    swapped = ratio < 0
    flatter, sharper = np.where(swapped, second, first), np.where(swapped, first, second)
    accuracy = np.array([point["accuracy"] for point in used], dtype=np.float64)
    difference, middle = kl[flatter] - kl[sharper], np.abs(kl[flatter] + kl[sharper]) / 2
    left = np.divide(difference, middle, out=np.zeros_like(middle), where=middle > 0)
    stratum = np.where(strata[first] == strata[second], strata[first], -1)
    imprecise = int((close & ~known & apart).sum())
    gain = accuracy[flatter] - accuracy[sharper]
    return Pairs(used, flatter, sharper, kinds, np.abs(ratio), gain, left, stratum, imprecise)


def strata_of(points: list[Row], config: MatchConfig) -> list[list[Row]]:
    """The saturated checkpoints in strata of KL, in each of which every two members agree.

    In order of KL, each checkpoint joins the current stratum if it agrees with all members, and otherwise starts a new
    one.

    Args:
        points: points of one task and probe. Those that `pairs_of` leaves out have no stratum.
        config: when two KL agree.

    Returns:
        The strata, in order of KL.
    """
    used = [point for point in points if _usable(point)]
    kl, error = (np.array([point[key] for point in used], dtype=np.float64) for key in ("kl", "kl_stderr"))
    saturated = np.array([point["saturated"] for point in used], dtype=bool)
    strata = _strata(kl, _agreement(kl, error, saturated, config)[0], saturated)
    order = np.argsort(kl, kind="stable")
    return [[used[i] for i in order if strata[i] == number] for number in range(strata.max(initial=-1) + 1)]


def by_probe(points: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """(task, probe) -> its points, in order of names."""
    found: dict[tuple[str, str], list[Row]] = {}
    for point in points:
        found.setdefault((point["task"], point["method"]), []).append(point)
    return {key: found[key] for key in sorted(found)}


def rows_of_pairs(pairs: Pairs) -> Iterator[Row]:
    """Yields a row for each pair: the measurements of both checkpoints, and the differences with standard errors.

    Args:
        pairs: as `pairs_of` returns them.

    Yields:
        Rows with the keys task, probe, flatter and sharper (runs), for both _step, _kl, _kl_stderr, _trace,
        _trace_stderr, _accuracy and _accuracy_stderr; trace (its name), halvings and gain with _stderr, kl_left,
        same_model, same_algorithm, saturated (both), stratum, satlab.
    """
    model, trained = pairs.same("model"), pairs.same("algorithm")
    for n, (i, j) in enumerate(zip(pairs.flatter, pairs.sharper, strict=True)):
        kind, both = str(pairs.kinds[n]), {"flatter": pairs.points[i], "sharper": pairs.points[j]}
        row: Row = {"task": both["flatter"]["task"], "probe": both["flatter"]["method"]}
        for name, point in both.items():
            row |= {name: point["run"], f"{name}_step": point["step"]}
            for key, source in (("kl", "kl"), ("trace", kind), ("accuracy", "accuracy")):
                row |= {f"{name}_{key}": point[source], f"{name}_{key}_stderr": point[f"{source}_stderr"]}
        relative = math.hypot(*(row[f"{name}_trace_stderr"] / row[f"{name}_trace"] for name in both))
        row |= {"trace": kind, "halvings": float(pairs.halvings[n]), "halvings_stderr": relative / math.log(2)}
        row |= {"gain": float(pairs.gain[n])}
        row |= {"gain_stderr": math.hypot(*(row[f"{name}_accuracy_stderr"] for name in both))}
        row |= {"kl_left": float(pairs.kl_left[n]), "same_model": bool(model[n]), "same_algorithm": bool(trained[n])}
        row |= {"saturated": bool(pairs.saturated[n])}
        versions = sorted({version for point in both.values() for version in point["satlab"].split(", ")})
        yield row | {"stratum": int(pairs.stratum[n]), "satlab": ", ".join(versions)}


def _usable(point: Row) -> bool:
    values = [point[key] for key in ("kl", "kl_stderr", "accuracy", "trace")]
    return all(value is not None and math.isfinite(value) for value in values) and point["trace"] > 0


def _agreement(kl: Array, error: Array, saturated: Flags, config: MatchConfig) -> tuple[Flags, Flags]:
    """Which pairs have close KL, and which have sufficiently precise KL: [n, n] each."""
    difference = np.abs(kl[:, None] - kl[None, :])
    allowed = config.tolerance * np.abs(kl[:, None] + kl[None, :]) / 2
    spread = np.hypot(error[:, None], error[None, :])
    close = difference <= np.maximum(config.z * spread, allowed)
    return close, (spread <= allowed) | (saturated[:, None] & saturated[None, :])


def _strata(kl: Array, close: Flags, saturated: Flags) -> Places:
    """The number of each point's stratum, in order of KL, [n]; -1 for points that are not saturated."""
    found = np.full(len(kl), -1)
    members: list[int] = []
    number = -1
    for i in np.argsort(kl, kind="stable"):
        if not saturated[i]:
            continue
        if not members or not close[i, members].all():
            members, number = [], number + 1
        members.append(int(i))
        found[i] = number
    return found


def _ratios(points: list[Row], first: Places, second: Places) -> tuple[NDArray[np.str_], Array]:
    """The name of the trace that compares each pair, and log2 of the second's over the first's, [n] each."""
    plain = np.array([point["trace"] for point in points], dtype=np.float64)
    inside = np.array([_positive(point["enlarged"]) for point in points], dtype=np.float64)
    models = np.array([point["model"] for point in points], dtype=str)
    enlarged = (models[first] != models[second]) & ~np.isnan(inside[first] * inside[second])
    one, other = (np.where(enlarged, inside[i], plain[i]) for i in (first, second))
    return np.where(enlarged, "enlarged", "trace"), np.log2(other) - np.log2(one)


def _positive(value: float | None) -> float:
    return value if value is not None and 0 < value < math.inf else math.nan
