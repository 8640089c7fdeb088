"""The figure of an experiment: its panels, with one line or set of points for each label."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from ...theory.experiment import Panel
from ..analysis.results import write_csv
from .draw import STYLE, save_figure

Row = dict[str, Any]

WIDTH, HEIGHT = 5.2, 3.9
"""The size of a panel, inches."""

MARKS = "osD^vP*X<>"


def draw_experiment(
    rows: list[Row], panels: Iterable[Panel], columns: list[str], place: Path, title: str | None = None
) -> list[Path]:
    """Draws the panels, and writes the rows as a table.

    Args:
        rows: rows with the column `label`.
        panels: the panels of the figure.
        columns: the columns of the table.
        place: the path of the files, without a suffix.
        title: the title above all panels.

    Returns:
        The paths of the PNG, the PDF and the CSV.
    """
    panels = list(panels)
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    labels = list(dict.fromkeys(row["label"] for row in rows))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            down, across, figsize=(WIDTH * across, HEIGHT * down), layout="constrained", squeeze=False
        )
        for axes, panel in zip(grid.flat, panels, strict=False):
            _panel(axes, panel, rows, labels)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        if title is not None:
            figure.suptitle(title)
        written = save_figure(figure, place)
    table = place.with_name(place.name + ".csv")
    write_csv(rows, columns, table)
    return [*written, table]


def _panel(axes: Axes, panel: Panel, rows: list[Row], labels: list[str]) -> None:
    """Draws one panel."""
    for number, label in enumerate(label for label in labels if not panel.only or label.startswith(panel.only)):
        mine = [row for row in rows if row["label"] == label and _shown(row, panel)]
        if not mine:
            continue
        x, y = ([row[name] for row in mine] for name in (panel.x, panel.y))
        errors = [row.get(f"{panel.y}_stderr") or 0.0 for row in mine]
        look: dict[str, Any] = {"color": f"C{number % 10}", "label": label, "markersize": 4}
        if not panel.points and not any(errors):
            axes.plot(x, y, "--", linewidth=1.5, **look)
        else:
            joined = "none" if panel.points else "-"
            mark = MARKS[number % len(MARKS)]
            axes.errorbar(x, y, errors, marker=mark, linestyle=joined, linewidth=1, **look)
    for axis in panel.logarithmic:
        getattr(axes, f"set_{axis}scale")("log")
    if panel.diagonal:
        ends = [axes.get_xlim(), axes.get_ylim()]
        shared = [max(end[0] for end in ends), min(end[1] for end in ends)]
        axes.plot(shared, shared, ":", color="0.6", label="y = x")
    axes.set(title=panel.title, xlabel=panel.x_label, ylabel=panel.y_label)
    axes.legend(fontsize=7)


def _shown(row: Row, panel: Panel) -> bool:
    """Whether the panel shows the row: it is selected and has both values, which are positive on logarithmic axes."""
    if any(row.get(column, value) != value for column, value in panel.where):
        return False
    values: dict[str, Any] = {"x": row.get(panel.x), "y": row.get(panel.y)}
    return all(value is not None for value in values.values()) and all(values[axis] > 0 for axis in panel.logarithmic)
