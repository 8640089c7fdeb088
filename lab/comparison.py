"""How flatness and accuracy go together among recorded models: those of equal loss first, then all checkpoints."""

import math
from collections.abc import Iterator
from typing import Any

from .correlation import LEAST_GROUPS, METHODS, correlation

Row = dict[str, Any]

CORRELATIONS = "correlation.csv"

SATURATED, ALL = "saturated", "all checkpoints"
"""Among which models: those whose loss is the same, that of the truth; or all, whose loss differs."""


def correlations_of(points: list[Row], resamples: int = 10_000, seed: int = 0) -> list[Row]:
    """Correlation of Tr(H) with probe accuracy, a row each; points as `points_of` gives them, those with a trace count.

    By task; among the saturated models, then all checkpoints; over all models, and within each of several models
    with at least 5 runs; Spearman and Pearson; plain, and given KL. Keys: task, among, model (empty: all), method,
    given (KL or empty), value, low, high (95 % BCa bootstrap interval over runs), n (models), runs, note, satlab
    (who measured).
    """
    known = [point for point in points if _finite(point["trace"], point["accuracy"])]
    rows = []
    for task in sorted({point["task"] for point in known}):
        mine = [point for point in known if point["task"] == task]
        for among in (SATURATED, ALL):
            chosen = [point for point in mine if point["saturated"] or among == ALL]
            for model, part in _parts(chosen):
                named = {"task": task, "among": among, "model": model}
                rows += [named | row for row in _rows(part, resamples, seed)]
    return rows


def _parts(points: list[Row]) -> Iterator[tuple[str, list[Row]]]:
    """All points, then those of each model with runs enough for an interval, where there is another model."""
    yield "", points
    models = sorted({point["model"] for point in points})
    for model in models if len(models) > 1 else []:
        part = [point for point in points if point["model"] == model]
        if len({point["run"] for point in part}) >= LEAST_GROUPS:
            yield model, part


def _rows(points: list[Row], resamples: int, seed: int) -> Iterator[Row]:
    for method in METHODS:
        for given in ("", "KL"):
            used = [point for point in points if not given or _finite(point["kl"])]
            x, y, kl = ([point[key] for point in used] for key in ("trace", "accuracy", "kl"))
            runs = [point["run"] for point in used]
            found = correlation(x, y, kl if given else None, method, resamples, seed, runs)
            row = {"method": method, "given": given, "value": found.value, "low": found.low, "high": found.high}
            versions = sorted({version for point in used for version in point["satlab"].split(", ")})
            yield row | {"n": found.n, "runs": found.groups, "note": found.note, "satlab": ", ".join(versions)}


def _finite(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def in_words(correlations: list[Row], task: str) -> list[str]:
    """The coefficients over all models of a task, a sentence each for the saturated ones and for all checkpoints."""
    said = []
    for among in (SATURATED, ALL):
        rows = [r for r in correlations if (r["task"], r["among"], r["model"]) == (task, among, "")]
        if not rows:
            continue
        title = "Saturated models" if among == SATURATED else "All checkpoints, whose KL differs"
        head = f"{title}: n = {rows[0]['n']} of {rows[0]['runs']} runs"
        shown = [_shown(row) for row in rows if not math.isnan(row["value"])]
        said.append(f"{head}, {'; '.join(shown)}." if shown else f"{head}, no correlation.")
    if said:
        said[-1] += " In brackets: 95 % bootstrap interval over runs, [-1, 1] where there are too few."
    return said


def _shown(row: Row) -> str:
    given = " given KL" if row["given"] else ""
    ends = (f"{end:.2f}".removesuffix(".00") for end in (row["low"], row["high"]))
    return f"{row['method'].capitalize()}{given} {row['value']:.2f} [{', '.join(ends)}]"
