"""The figure of accuracy against flatness at equal KL, with a point for each pair of checkpoints of different runs."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.comparison import ALL
from ..analysis.matched import ALL_PAIRS, GAIN, MODELS, ONE_MODEL, PAIRS, SHARE
from ..analysis.matched_words import rule
from ..analysis.matching import Pairs, rows_of_pairs
from .lettering import brief, plain_text, write_below

Row = dict[str, Any]

COLORS = {ONE_MODEL: "tab:blue", MODELS: "tab:orange"}
MANY = 200
"""With more pairs than this, points are drawn paler, and in the PDF as a bitmap."""

READING = "Line: least squares through 0, band: 95 % over runs. Hollow: not both saturated. Bars: one standard error."


def matched_figure(panel: str, pairs: Pairs, rows: list[Row], mixed: list[str]) -> tuple[Figure, list[Row]]:
    """Draws, for each pair, the gain in accuracy of the flatter checkpoint against how much flatter it is.

    Args:
        panel: the task and the probe.
        pairs: the pairs of this task and probe, at least one.
        rows: the rows of this task and probe, as `matched_of` returns them.
        mixed: the notice about different versions of satlab, if any.

    Returns:
        The figure, and the plotted numbers.
    """
    figure, axes = plt.subplots(figsize=(6.5, 4.2), layout="constrained")
    numbers = list(rows_of_pairs(pairs))
    found = {(row["of"], row["statistic"]): row for row in rows if (row["by"], row["among"]) == (PAIRS, ALL)}
    kinds = {ONE_MODEL: [row for row in numbers if row["same_model"]]}
    kinds[MODELS] = [row for row in numbers if not row["same_model"]]
    for kind, mine in kinds.items():
        if mine:
            of = kind if (kind, GAIN) in found else ALL_PAIRS
            _points(axes, mine, COLORS[kind], _label(kind, found[of, SHARE], mine))
            _line(axes, found[of, GAIN], max(row["halvings"] for row in mine), COLORS[kind])
    axes.axhline(0, color="0.3", linewidth=1, linestyle=":")
    axes.set_xlim(left=0)
    axes.set(xlabel="halvings of Tr(H) from the sharper to the flatter one")
    axes.set_ylabel(plain_text(f"accuracy, flatter minus sharper,\ntask {brief(panel)}"))
    title = "Pairs of different trainings whose KL agrees (above 0: the flatter one is the more accurate)"
    axes.set_title(title, fontsize=8.5)
    # Outside the panel: the search for a place among thousands of points is slow, and may find none.
    figure.legend(loc="outside upper center", fontsize=7)
    write_below(figure, [rule(found[ALL_PAIRS, SHARE]), READING, *mixed])
    return figure, numbers


def _label(kind: str, share: Row, mine: list[Row]) -> str:
    ends = "no interval" if share["low"] is None else f"[{share['low']:.2f}, {share['high']:.2f}]"
    runs = len({row[name] for row in mine for name in ("flatter", "sharper")})
    return f"{kind}: {share['value']:.2f} {ends} above 0, n = {len(mine)} pairs of {runs} runs"


def _points(axes: Axes, rows: list[Row], color: str, label: str) -> None:
    """Draws the pairs of one kind. The mark in the legend is not paler."""
    pale = 1.0 if len(rows) <= MANY else max(0.15, MANY / len(rows))
    x, y, xerr, yerr = (
        np.array([row[key] for row in rows]) for key in ("halvings", "gain", "halvings_stderr", "gain_stderr")
    )
    many = len(rows) > MANY
    bars = axes.errorbar(x, y, yerr, xerr, fmt="none", ecolor=color, elinewidth=0.6, alpha=0.35 * pale, zorder=1)
    for lines in bars.lines[2]:
        lines.set_rasterized(many)
    both = np.array([row["saturated"] for row in rows])
    for part, face in ((both, color), (~both, "white")):
        axes.scatter(
            x[part],
            y[part],
            s=14,
            edgecolors=color,
            facecolors=face,
            linewidths=0.9,
            alpha=pale,
            zorder=2,
            rasterized=many,
        )
    axes.plot([], [], "o", color=color, markersize=4, label=label)


def _line(axes: Axes, gain: Row, end: float, color: str) -> None:
    if np.isnan(gain["value"]):
        return
    axes.plot([0, end], [0, gain["value"] * end], color=color, linewidth=1.5, zorder=3)
    if gain["low"] is not None:
        axes.fill_between(
            [0, end], [0, gain["low"] * end], [0, gain["high"] * end], color=color, alpha=0.15, linewidth=0
        )
