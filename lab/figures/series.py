"""The figure of a series: the accuracy of each probe against the first key, on models and on the exact truth.

Lines with error bars are models. Dashed lines are the same probe on the exact truth. Wide lines with bands are
published means.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ...errors import InputError
from ..analysis.results import write_csv
from ..reading import from_mapping
from .draw import STYLE, save_figure
from .lettering import brief, looks_of, plain_text, write_below

Row = dict[str, Any]

COLUMNS = ("axis", "at", "task", "whose", "quantity", "probe", "value", "stderr", "n")
LOST = ("lost to words", "lost to model", "lost to optimiser")
LABELS = {"lost to words": "exact words", "lost to model": "model", "lost to optimiser": "optimiser of the head"}
TABLES = ("majority", "lookup", "bayes")
SAID = (
    "Bars: one standard error over chains. Dashed: the same on the exact truth (for prompts, the ideal prompt). "
    "Dotted: majority class. Bands: published means with their bands."
)


@dataclass(frozen=True)
class Curve:
    """A published line.

    Args:
        name: its name in the legend.
        x: values of the first key.
        y: mean accuracies, as shares.
        low: lower ends of the band.
        high: upper ends of the band.
        source: its place in the paper.
        probe: the probe whose colour it has.
    """

    name: str
    x: list[float]
    y: list[float]
    source: str
    low: list[float] | None = None
    high: list[float] | None = None
    probe: str | None = None


def check_curves(curves: Sequence[Any], keys: Sequence[str]) -> list[Curve]:
    """Reads the published lines of a series.

    Args:
        curves: the lines, as the study's file holds them.
        keys: the keys that the series varies.

    Returns:
        The lines.

    Raises:
        InputError: for curves without a series, an unknown key, and lists of different lengths.
    """
    if curves and not keys:
        raise InputError("curves need a series of languages (key vary); add it, or leave the curves out")
    found = []
    for number, given in enumerate(curves, start=1):
        place = f"curve {number}"
        if not isinstance(given, Mapping):
            raise InputError(f"is '{given}', expected a mapping with {', '.join(f.name for f in fields(Curve))}", place)
        curve = from_mapping(Curve, given, place)
        lengths = {len(part) for part in (curve.x, curve.y, curve.low, curve.high) if part is not None}
        if len(lengths) > 1:
            raise InputError("has x, y, low and high of different lengths, expected one; correct them", place)
        found.append(curve)
    return found


def draw_series(rows: list[Row], curves: Sequence[Any], title: str, out: Path) -> list[Path]:
    """Writes series.csv with all numbers, and draws series.png and .pdf if there are accuracies.

    Args:
        rows: the rows that `summary` returns.
        curves: the published lines, as the study's file holds them.
        title: the title above the panels.
        out: the directory to write.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    lines = check_curves(curves, ["any"])
    write_csv(rows, list(COLUMNS), out / "series.csv")
    tasks = list(dict.fromkeys(row["task"] for row in rows if row["quantity"] == "accuracy"))
    if not tasks:
        return [out / "series.csv"]
    with plt.rc_context(STYLE):
        shape = (len(tasks), 2)
        figure, grid = plt.subplots(*shape, figsize=(9.0, 3.6 * len(tasks)), squeeze=False, layout="constrained")
        for task, (left, right) in zip(tasks, grid, strict=True):
            mine = [row for row in rows if row["task"] == task]
            _accuracies(left, mine, lines)
            _losses(right, mine)
            left.set(xlabel=plain_text(mine[0]["axis"]), ylabel=plain_text(f"accuracy of {task}"))
            right.set(xlabel=plain_text(mine[0]["axis"]), ylabel="accuracy that the trained head lost")
        figure.suptitle(plain_text(title), fontsize=9)
        counts = sorted({row["n"] for row in rows if row["quantity"] == "accuracy"})
        write_below(figure, [SAID, f"Chains at each point: {', '.join(map(str, counts))}."])
        written = save_figure(figure, out / "series")
    return [*written, out / "series.csv"]


def _accuracies(axes: Axes, rows: list[Row], curves: list[Curve]) -> None:
    measured = [row for row in rows if row["quantity"] == "accuracy"]
    probes = list(dict.fromkeys(row["probe"] for row in measured))
    colors = {probe: look["color"] for probe, look in zip(probes, looks_of(probes), strict=True)}
    for whose in dict.fromkeys(row["whose"] for row in measured):
        for probe in probes:
            mine = [row for row in measured if (row["whose"], row["probe"]) == (whose, probe)]
            if not mine or whose == "bayes" or (whose == "majority" and probe != probes[0]):
                continue
            places, values = [row["at"] for row in mine], [row["value"] for row in mine]
            if whose == "majority":
                axes.plot(places, values, color="0.5", linestyle=":", linewidth=1, label="majority class")
            elif whose == "lookup":
                axes.plot(places, values, color=colors[probe], linestyle="--", linewidth=1)
            else:
                errors = [row["stderr"] for row in mine]
                label = plain_text(f"{brief(probe)}, {brief(whose)}")
                axes.errorbar(places, values, errors, color=colors[probe], marker="o", ms=4, capsize=2, label=label)
    for curve in curves:
        color = colors.get(str(curve.probe), "0.5")
        axes.plot(curve.x, curve.y, color=color, alpha=0.45, linewidth=3, label=plain_text(f"{curve.name} (published)"))
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=color, alpha=0.12, linewidth=0)
    axes.legend(fontsize=6)


def _losses(axes: Axes, rows: list[Row]) -> None:
    for name, look in zip(LOST, looks_of(list(LOST)), strict=True):
        mine = [row for row in rows if row["quantity"] == name]
        if mine:
            places, values, errors = ([row[key] for row in mine] for key in ("at", "value", "stderr"))
            axes.errorbar(places, values, errors, color=look["color"], marker="o", ms=4, capsize=2, label=LABELS[name])
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=7)
