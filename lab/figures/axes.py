"""Axes of figures: logarithmic ones with plain numbers, accuracies with their baselines."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

Row = dict[str, Any]

BASELINE_STYLE = {"majority": ("0.6", ":"), "lookup": ("0.35", "--"), "bayes": ("0.1", "-.")}
BASELINE_LABEL = {"majority": "majority class", "lookup": "look-up table", "bayes": "Bayes optimum"}

LEAST_SPAN = 0.005
"""The least share of sentences that an axis of accuracies spans, so that noise does not look like a difference."""

APART = 0.06
"""The least distance of two labels of a colour bar, as a share of its logarithmic length."""


def log_axis(axes: Axes) -> None:
    """Makes the x axis logarithmic, with labels such as 1,000 instead of 10^3."""
    axes.set_xscale("log")
    log_ticks(axes.xaxis)


def log_ticks(axis: Axis) -> None:
    """Labels 1, 2 and 5 of each decade; round numbers where the axis spans less than a factor of five."""
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high > 5 * low else MaxNLocator(5))
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_formatter(NullFormatter())


def thinned(steps: list[int]) -> list[int]:
    """The steps that a colour bar labels: the last, and those before it that are far enough apart.

    Args:
        steps: all steps in ascending order.

    Returns:
        The steps to label.
    """
    if steps[0] <= 0:
        return steps
    least = (steps[-1] / steps[0]) ** APART
    kept = [steps[-1]]
    for step in reversed(steps):
        if step * least <= kept[0]:
            kept.insert(0, step)
    return kept


def accuracy_axis(axes: Axes) -> None:
    """A y axis of accuracies: plain numbers, and at least `LEAST_SPAN` from end to end."""
    axes.ticklabel_format(axis="y", useOffset=False, style="plain")
    low, high = axes.get_ylim()
    missing = max(0.0, LEAST_SPAN - (high - low)) / 2
    axes.set_ylim(low - missing, high + missing)


def baselines_on(axes: Axes, lines: list[Row], points: list[Row]) -> None:
    """Draws the baselines that are close enough to the points not to squeeze them.

    Args:
        axes: a panel of accuracies.
        lines: the baselines' rows, with `method` and `value`.
        points: all points of the figure.
    """
    for line in lines:
        if _near(line, points):
            color, style = BASELINE_STYLE[line["method"]]
            label = f"{BASELINE_LABEL[line['method']]} {line['value']:.3f}"
            axes.axhline(line["value"], color=color, linestyle=style, linewidth=1, label=label, zorder=0)


def far(lines: list[Row], points: list[Row]) -> list[str]:
    """A line of the caption on the baselines that are not drawn; none if all are."""
    values = [f"{BASELINE_LABEL[line['method']]} {line['value']:.3f}" for line in lines if not _near(line, points)]
    return [f"Too far away to be drawn: {', '.join(values)}."] * bool(values)


def _near(line: Row, points: list[Row]) -> bool:
    values = [point["accuracy"] for point in points]
    spread = max(max(values) - min(values), 0.02)
    return bool(min(values) - spread <= line["value"] <= max(values) + spread)
