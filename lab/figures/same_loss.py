"""The figure of accuracy against flatness at equal loss.

It shows only saturated checkpoints, with a panel for each architecture and a colour for each way of training.
"""

import itertools
import math
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ..analysis.comparison import SATURATED, WITHIN
from .axes import accuracy_axis, baselines_on, far
from .lettering import MARKERS, brief, looks_of, plain_text, write_below

Row = dict[str, Any]

WIDTH, HEIGHT = 4.4, 3.9
"""The size of a panel, inches."""

READING = "Points: saturated checkpoints; bars: one standard error within one training."
BRACKETS = " Brackets: 95 % interval over first trainings."


def same_loss_points(points: list[Row], ways: Mapping[str, str]) -> list[Row]:
    """The points of the figure: saturated checkpoints with a trace. Empty if all are of one run.

    Args:
        points: the points of one probe of one task.
        ways: run -> how it was trained.

    Returns:
        The points, each with its `way`, those of the smallest model first.
    """
    chosen = [point | {"way": ways[point["run"]]} for point in points if point["saturated"]]
    chosen = [point for point in chosen if point["trace"] is not None and point["accuracy"] is not None]
    if len({point["run"] for point in chosen}) < 2:
        return []
    return sorted(chosen, key=lambda point: (point["parameters"] or 0, point["model"]))


def same_loss_figure(
    panel: str, points: list[Row], lines: list[Row], correlations: list[Row], mixed: list[str]
) -> tuple[Figure, list[Row]]:
    """Draws accuracy against Tr(H) for checkpoints whose loss equals that of the truth.

    Args:
        panel: the task and the probe.
        points: the points that `same_loss_points` returns.
        lines: the baselines.
        correlations: the rows of this task and probe, as `correlations_of` returns them.
        mixed: the notice about different versions of satlab, if any.

    Returns:
        The figure, and the plotted numbers.
    """
    models = list(dict.fromkeys(point["model"] for point in points))
    ways = list(dict.fromkeys(sorted(point["way"] for point in points)))
    colors = {way: look["color"] for way, look in zip(ways, looks_of(ways), strict=True)}
    markers = dict(zip(ways, itertools.cycle(MARKERS), strict=False))
    size = (WIDTH * max(len(models), 1.4), HEIGHT + 0.16 * -(-(len(ways) + 2) // 3))
    figure, grid = plt.subplots(1, len(models), figsize=size, sharey=True, squeeze=False, layout="constrained")
    named: dict[str, Any] = {}
    within, any_said = _given_kl(correlations, "", WITHIN), False
    for axes, model in zip(grid.flat, models, strict=True):
        for way in ways:
            mine = [point for point in points if (point["model"], point["way"]) == (model, way)]
            if not mine:
                continue
            x, y, xerr, yerr = (
                [point[key] for point in mine] for key in ("trace", "accuracy", "trace_stderr", "accuracy_stderr")
            )
            look: dict[str, Any] = {"color": colors[way], "markersize": 5, "elinewidth": 0.6, "alpha": 0.75}
            named[way] = axes.errorbar(x, y, yerr, xerr, fmt=markers[way], **look)
        baselines_on(axes, lines, points)
        parameters = next(point["parameters"] for point in points if point["model"] == model)
        head = f"{brief(model)}, {parameters:,} parameters" if parameters else brief(model)
        said = _given_kl(correlations, model if len(models) > 1 else "", "")
        any_said |= bool(said)
        axes.set_title("\n".join([plain_text(head), *said]), fontsize=8.5)
        axes.set(xlabel="Tr(H), nats / parameter²  (left: flatter)")
    grid[0, 0].set_ylabel(plain_text(f"probe accuracy, task {brief(panel)}"))
    accuracy_axis(grid[0, 0])
    drawn = dict(zip(*reversed(grid[0, 0].get_legend_handles_labels()), strict=True))
    labels = [plain_text(way) for way in named] + list(drawn)
    handles = [*named.values(), *drawn.values()]
    figure.legend(handles, labels, loc="outside upper center", ncols=min(3, len(labels)), fontsize=7.5)
    write_below(figure, [*within, READING + BRACKETS * (any_said or bool(within)), *far(lines, points), *mixed])
    return figure, points


def _given_kl(correlations: list[Row], model: str, across: str) -> list[str]:
    """A sentence with Spearman's correlation among the saturated checkpoints, given KL; none if it is not known."""
    head, end = ("Within sizes: ", ".") if across == WITHIN else ("", "")
    for row in correlations:
        kind = (row["among"], row["method"], row["given"], row["trace"])
        wanted = kind == (SATURATED, "spearman", "KL", "trace") and (row["model"], row["across"]) == (model, across)
        if wanted and not math.isnan(row["value"]):
            ends = f"[{row['low']:.2f}, {row['high']:.2f}]"
            said = f"Spearman given KL {row['value']:.2f} {ends}, n = {row['n']} of {row['runs']} trainings"
            return [f"{head}{said}{end}"]
    return []
