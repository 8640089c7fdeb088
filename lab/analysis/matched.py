"""The relation of flatness and accuracy at equal KL, over pairs of checkpoints and within strata of saturated ones.

statistic        over pairs of checkpoints of different runs whose KL agrees
share            share of pairs in which the flatter checkpoint is more accurate; ties count half; 0.5: no relation
gain             accuracy gained by halving Tr(H): sum x y / sum x^2, x = log2 of the ratio of traces, y = difference
                 of accuracy. x is a log ratio because Tr(H) spans orders of magnitude. There is no constant, because
                 the order within a pair is arbitrary.
gain given KL    the coefficient of x in the least squares of y on x and on the remaining relative difference of KL
lower KL         share of pairs in which the flatter checkpoint has the lower KL; 0.5 if the matching is balanced
kendall          within strata: Kendall's tau-a of Tr(H) with accuracy, in which every pair counts once

Intervals are from the BCa bootstrap over independent trainings. If trainings a and b were drawn w_a and w_b times, a
pair of their checkpoints counts w_a w_b times. A drawn copy of a training never pairs with another copy. So every
statistic is a function of quadratic forms in w, and a checkpoint may be in any number of pairs.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bootstrap import AGREE, LEAST_GROUPS, bca, drawn_groups
from .comparison import ALL, SATURATED
from .matching import MatchConfig, Pairs, by_probe, pairs_of

Row = dict[str, Any]
Array = NDArray[np.float64]
Forms = dict[str, Array]

MATCHED = "matched.csv"

PAIRS, STRATA = "pairs", "strata"
SHARE, GAIN, GIVEN, LOWER, KENDALL = "share", "gain", "gain given KL", "lower KL", "kendall"
ALL_PAIRS, ONE_MODEL, MODELS = "all", "one model", "different models"
ACROSS_SIZES = "plain Tr(H) of different models is not comparable"

BLOCK = 1_000
"""The number of resamples held at once."""


def matched_of(
    points: list[Row], config: MatchConfig | None = None, resamples: int = 10_000, seed: int = 0
) -> list[Row]:
    """Flatness against accuracy at matched KL.

    There is a row for each combination of: task and probe; pairs of saturated checkpoints, then of all; all pairs, and
    those of one model, of different models, of one algorithm and of different algorithms, if these are a proper subset;
    the statistics above. Then come the rows of the strata.

    Args:
        points: as `points_of` returns them.
        config: when two KL agree.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.

    Returns:
        Rows with the keys task, probe, by (pairs or strata), among, of (which pairs), statistic, value, low, high (95 %
        interval, None without one), pairs, strata, checkpoints, runs, imprecise (pairs left out because their KL is not
        precise enough), remark, note (why there is no value or interval), z, tolerance, satlab. There are no rows for a
        task and probe with a single run.
    """
    config, rows = config or MatchConfig(), []
    for (task, probe), mine in by_probe(points).items():
        if len({point["run"] for point in mine}) < 2:
            continue
        pairs = pairs_of(mine, config)
        for by, among, of, chosen in _selections(pairs):
            named = {"task": task, "probe": probe, "by": by, "among": among, "of": of}
            how = {"imprecise": pairs.imprecise, "z": config.z, "tolerance": config.tolerance}
            rows += [named | row | how for row in _rows(pairs, chosen, by, resamples, seed)]
    return [{key: row[key] for key in COLUMNS} for row in rows]


COLUMNS = (
    *("task", "probe", "by", "among", "of", "statistic", "value", "low", "high", "pairs", "strata", "checkpoints"),
    *("runs", "imprecise", "remark", "note", "z", "tolerance", "satlab"),
)


def _selections(pairs: Pairs) -> Iterator[tuple[str, str, str, NDArray[np.bool_]]]:
    """(by, among, of, mask of the pairs)."""
    everything = np.ones(len(pairs.gain), dtype=bool)
    model, trained = pairs.same("model"), pairs.same("algorithm")
    kinds = {ONE_MODEL: model, MODELS: ~model, "one algorithm": trained, "different algorithms": ~trained}
    kinds["one model, different algorithms"] = model & ~trained
    for among, whole in ((SATURATED, pairs.saturated), (ALL, everything)):
        yield PAIRS, among, ALL_PAIRS, whole
        seen = [whole]
        for of, kind in kinds.items():
            chosen = kind & whole
            if chosen.any() and not any(np.array_equal(chosen, other) for other in seen):
                yield PAIRS, among, of, chosen
                seen.append(chosen)
    yield STRATA, SATURATED, ALL_PAIRS, pairs.stratum >= 0
    one = (pairs.stratum >= 0) & model
    if one.any() and not np.array_equal(one, pairs.stratum >= 0):
        yield STRATA, SATURATED, ONE_MODEL, one


def _rows(pairs: Pairs, chosen: NDArray[np.bool_], by: str, resamples: int, seed: int) -> Iterator[Row]:
    places = np.concatenate([pairs.flatter[chosen], pairs.sharper[chosen]])
    points = [pairs.points[i] for i in np.unique(places)]
    # Runs that begin with the weights of the same training are not independent and are resampled together.
    runs = sorted({point["root"] for point in points})
    count = int(chosen.sum())
    about: Row = {"pairs": count, "checkpoints": len(points), "runs": len(runs)}
    about["strata"] = len(np.unique(pairs.stratum[chosen])) if by == STRATA else None
    across = not np.all(pairs.same("model")[chosen] | (pairs.kinds[chosen] == "enlarged"))
    about["remark"] = ACROSS_SIZES if across else ""
    about["satlab"] = ", ".join(sorted({version for point in points for version in point["satlab"].split(", ")}))
    forms = _forms(pairs, chosen, runs)
    wanted = (KENDALL,) if by == STRATA else (SHARE, GAIN, GIVEN, LOWER)
    for statistic, found in _estimates(forms, wanted, len(runs), resamples, seed).items():
        yield {"statistic": statistic} | found | about


def _forms(pairs: Pairs, chosen: NDArray[np.bool_], runs: list[str]) -> Forms:
    """name -> sums over the pairs of every two runs, [runs, runs]."""
    number = {run: i for i, run in enumerate(runs)}
    label = np.array([number.get(point["root"], -1) for point in pairs.points], dtype=np.int64)
    place = label[pairs.flatter[chosen]], label[pairs.sharper[chosen]]
    x, y, z = pairs.halvings[chosen], pairs.gain[chosen], pairs.kl_left[chosen]
    won = np.where((x == 0) | (y == 0), 0.5, (y > 0).astype(np.float64))
    lower = np.where((x == 0) | (z == 0), 0.5, (z < 0).astype(np.float64))
    terms = {"n": np.ones_like(x), "won": won, "lower": lower}
    terms |= {"xx": x * x, "xy": x * y, "xz": x * z, "yz": y * z, "zz": z * z}
    forms = {}
    for name, term in terms.items():
        forms[name] = np.zeros((len(runs), len(runs)))
        np.add.at(forms[name], place, term)
    return forms


def _estimates(forms: Forms, wanted: tuple[str, ...], count: int, resamples: int, seed: int) -> dict[str, Row]:
    """Each statistic with its interval."""
    whole = _statistics(forms, wanted, np.ones((1, count)))
    values = {name: float(found[0]) for name, found in whole.items()}
    if not count or count < LEAST_GROUPS:
        note = f"{count} runs: fewer than {LEAST_GROUPS} give no interval" if count else "no pair agrees in KL"
        return {name: {"value": value, "low": None, "high": None, "note": note} for name, value in values.items()}
    parts = [_statistics(forms, wanted, weights) for weights in drawn_groups(count, resamples, seed, BLOCK)]
    without = _statistics(forms, wanted, 1.0 - np.eye(count))
    rows = {}
    for name, value in values.items():
        ends, note = None, "no spread: no value"
        if not math.isnan(value):
            ends = bca(value, np.concatenate([part[name] for part in parts]), without[name])
            note = "" if ends else AGREE
        low, high = ends or (None, None)
        rows[name] = {"value": value, "low": low, "high": high, "note": note}
    return rows


def _statistics(forms: Forms, wanted: tuple[str, ...], weights: Array) -> dict[str, Array]:
    """Each statistic under each row of weights [r, runs]: [r]; nan if it is not defined."""
    # Pairs within one training drawn w times count w times, not w^2 times.
    inside = weights - weights**2
    s = {name: ((weights @ form) * weights).sum(1) + inside @ np.diag(form) for name, form in forms.items()}
    return {name: STATISTICS[name](s) for name in wanted}


def _ratio(above: Array, below: Array, least: Array | float = 0.0) -> Array:
    return np.divide(above, below, out=np.full_like(below, np.nan), where=below > least)


def _gain_given_kl(s: Forms) -> Array:
    square = s["xx"] * s["zz"]
    return _ratio(s["xy"] * s["zz"] - s["xz"] * s["yz"], square - s["xz"] ** 2, 1e-12 * square)


STATISTICS: dict[str, Callable[[Forms], Array]] = {
    SHARE: lambda s: _ratio(s["won"], s["n"]),
    GAIN: lambda s: _ratio(s["xy"], s["xx"]),
    GIVEN: _gain_given_kl,
    LOWER: lambda s: _ratio(s["lower"], s["n"]),
    KENDALL: lambda s: 1 - 2 * _ratio(s["won"], s["n"]),
}
