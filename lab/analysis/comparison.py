"""The correlation of flatness with accuracy over recorded models: first over those of equal loss, then over all."""

import math
from collections.abc import Iterator
from typing import Any

from .bootstrap import LEAST_GROUPS
from .correlation import METHODS, correlation
from .row_selection import panel_name

Row = dict[str, Any]

CORRELATIONS = "correlation.csv"

SATURATED, ALL = "saturated", "all checkpoints"
"""The models of a correlation: saturated ones, whose loss is equal to that of the truth, or all, whose loss differs."""


ACROSS = "across sizes, where plain Tr(H) is not comparable"
INSIDE = "across sizes, each inside the same larger model"
WITHIN = "within sizes"
"""Remarks on a correlation over several architectures: by plain Tr(H), by Tr(H) inside a larger model, or by plain
Tr(H) with means and ranks within each architecture."""

Part = tuple[str, str, str, list[Row]]
"""Model (empty: all), name of the trace, remark, and the points."""


def correlations_of(points: list[Row], resamples: int = 10_000, seed: int = 0) -> list[Row]:
    """Correlations of Tr(H) with probe accuracy.

    There is a row for each combination of: task and probe; the saturated checkpoints, then all; all models together,
    then, if there are several models, each with at least 5 runs, then all with means and ranks within each; Spearman
    and Pearson; plain and given KL. Plain Tr(H) compares checkpoints of one architecture. Over several architectures,
    the trace inside the same larger model is used if it was measured.

    Args:
        points: as `points_of` returns them. Those without a trace are left out.
        resamples: number of resamples of the bootstrap.
        seed: seed of the bootstrap.

    Returns:
        Rows with the keys task, probe, among, model (empty: all), trace (trace or enlarged), estimator (of the trace),
        across (a remark on several architectures), method, given (KL or empty), value, low, high (95 % BCa bootstrap
        interval over runs), n (checkpoints), unsaturated (how many of these are not saturated), runs, note, satlab (the
        versions that measured).
    """
    rows = []
    for task, probe in sorted({(point["task"], point["method"]) for point in points}):
        mine = [point for point in points if (point["task"], point["method"]) == (task, probe)]
        for among in (SATURATED, ALL):
            chosen = [point for point in mine if point["saturated"] or among == ALL]
            for model, trace, across, part in _parts(chosen):
                named = {"task": task, "probe": probe, "among": among, "model": model, "trace": trace}
                named |= {"estimator": part[0][f"{trace}_method"], "across": across}
                rows += [named | row for row in _rows(part, trace, across == WITHIN, resamples, seed)]
    return rows


def _parts(points: list[Row]) -> Iterator[Part]:
    """All points; then, if there are several models, each with enough runs for an interval, then all within models."""
    plain = [point for point in points if _finite(point["trace"], point["accuracy"])]
    inside = [point for point in points if _finite(point["enlarged"], point["accuracy"])]
    models = sorted({point["model"] for point in plain})
    if len({point["model"] for point in inside}) > 1:
        yield "", "enlarged", INSIDE, inside
    elif plain:
        yield "", "trace", ACROSS if len(models) > 1 else "", plain
    for model in models if len(models) > 1 else []:
        part = [point for point in plain if point["model"] == model]
        if len({point["root"] for point in part}) >= LEAST_GROUPS:
            yield model, "trace", "", part
    if len(models) > 1:
        yield "", "trace", WITHIN, plain


def _rows(points: list[Row], trace: str, within: bool, resamples: int, seed: int) -> Iterator[Row]:
    for method in METHODS:
        for given in ("", "KL"):
            used = [point for point in points if not given or _finite(point["kl"])]
            x, y, kl = ([point[key] for point in used] for key in (trace, "accuracy", "kl"))
            # Runs that begin with the weights of the same training are not independent and are resampled together.
            roots = [point["root"] for point in used]
            models = [point["model"] for point in used] if within else None
            found = correlation(x, y, kl if given else None, method, resamples, seed, roots, models)
            row = {"method": method, "given": given, "value": found.value, "low": found.low, "high": found.high}
            versions = sorted({version for point in used for version in point["satlab"].split(", ")})
            row |= {"n": found.n, "unsaturated": sum(not point["saturated"] for point in used)}
            yield row | {"runs": found.groups, "note": found.note, "satlab": ", ".join(versions)}


def _finite(*values: float | None) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)


def in_words(correlations: list[Row], panel: str) -> list[str]:
    """The correlations of a task's probe as sentences.

    Args:
        correlations: as `correlations_of` returns them.
        panel: the task and the probe; see `panel_name`.

    Returns:
        The sentences: first single architectures, then within all, then over all; in each case the saturated
        checkpoints before all.
    """
    mine = [row for row in correlations if panel_name(row["task"], row["probe"]) == panel]
    said = []
    order = ("", WITHIN)
    mine.sort(key=lambda row: order.index(row["across"]) if row["model"] or row["across"] == WITHIN else len(order))
    for kind in dict.fromkeys((row["among"], row["model"], row["across"]) for row in mine):
        rows = [row for row in mine if (row["among"], row["model"], row["across"]) == kind]
        among, model, _ = kind
        title = "Saturated models"
        if among == ALL:
            title = f"All checkpoints, whose KL differs ({rows[0]['unsaturated']} not saturated)"
        of = model or rows[0]["across"]
        head = f"{title}{', ' if of else ''}{of}: n = {rows[0]['n']} of {rows[0]['runs']} runs"
        shown = [_shown(row) for row in rows if not math.isnan(row["value"])]
        said.append(f"{head}, {'; '.join(shown)}." if shown else f"{head}, no correlation.")
    if said:
        said[-1] += " In brackets: 95 % bootstrap interval over runs, [-1, 1] where there are too few."
    return said


def _shown(row: Row) -> str:
    given = " given KL" if row["given"] else ""
    ends = (f"{end:.2f}".removesuffix(".00") for end in (row["low"], row["high"]))
    return f"{row['method'].capitalize()}{given} {row['value']:.2f} [{', '.join(ends)}]"
