"""Figures and tables in the form of Liu et al. (2022), drawn from recorded numbers.

form            theirs              what it shows
training        Figure 1            loss and accuracy against training steps
training-kl     Figure 10           log KL and accuracy against training steps
flatness        Figures 3 and 11    accuracy and Tr(H) against training steps
sizes           Figure 2            loss and accuracy against the number of parameters, last checkpoints
sizes-kl        Figure 10           log KL and accuracy against the number of parameters
enlarged        Figure 5            accuracy against Tr(H), every model viewed inside the same larger one
table           Tables 1 and 2      loss, accuracy and Tr(H) of each model's last checkpoint

Loss is KL + floor. Bars are one standard error of the measurement and, with several seeds, of the mean over them (see
`over_seeds`). Hollow marks are checkpoints that are not saturated. Each measured probe has a panel. The text below the
panels explains bars and marks, and names the number of trainings and the methods. The CSV also has the columns stderr,
n (the number of values in the mean: trainings if there are several), trainings, method, settings and satlab.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ...errors import InputError, unknown
from ...estimate import Estimate
from ..analysis.model_table import baseline, fewer_seeds, last_of_each, over_seeds, panels_of
from ..analysis.notices import said_of_versions
from ..analysis.results import write_csv
from ..fonts import fit_fonts, warn_of_missing
from .axes import log_axis, log_ticks
from .draw import save_figure
from .lettering import brief, looks_of, marked, plain_text, write_below
from .paper_table import measured_columns, said_of_bars, said_of_how, write_table

Row = dict[str, Any]

WIDTH, HEIGHT = 4.2, 3.2
"""The size of a panel, inches."""

STEPS, SIZE = "training step", "parameters"


def check_forms(forms: list[str]) -> None:
    """Raises InputError for an unknown form, and for one that is given twice."""
    for form in forms:
        if form not in FORMS:
            raise unknown("form", form, FORMS)
    if len(set(forms)) < len(forms):
        raise InputError(f"form is {forms}, expected each once; remove the repeated one")


def draw_forms(
    forms: list[str], wide: list[Row], rows: list[Row], tasks: list[str], out: Path, comparison: list[Row] | None = None
) -> list[Path]:
    """Draws each form for which anything was measured.

    Args:
        forms: their names.
        wide: the rows that `wide_rows` returns.
        rows: the rows that `one_setting` selects.
        tasks: the tasks of the study.
        out: the directory to write: paper-FORM.png, .pdf and .csv; for a table .md and .csv.
        comparison: the rows that `compare` returns. The table shows their published numbers next to ours.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    missing: set[str] = set()
    for form in forms:
        if form == "table":
            written += write_table(wide, rows, tasks, out, comparison or [])
        elif made := FORMS[form](wide, rows, tasks):
            figure, numbers = made
            missing |= fit_fonts(figure)
            written += save_figure(figure, out / f"paper-{form}")
            write_csv(numbers, list(numbers[0]), out / f"paper-{form}.csv")
            written.append(out / f"paper-{form}.csv")
    warn_of_missing(missing)
    return written


Made = tuple[Figure, list[Row]] | None


def _against(x: str, first: str, wide: list[Row], rows: list[Row], tasks: list[str], logarithmic: bool) -> Made:
    """A panel with the quantity `first`, and one with the accuracy of each probe of each task, against x."""
    panels = [first, *(f"accuracy {panel}" for panel in panels_of(wide, tasks))]
    drawn = [panel for panel in panels if any(panel in row for row in wide)]
    if not drawn:
        return None
    figure, grid = plt.subplots(
        1, len(drawn), figsize=(WIDTH * len(drawn), HEIGHT), squeeze=False, layout="constrained"
    )
    numbers: list[Row] = []
    for axes, panel in zip(grid.flat, drawn, strict=True):
        numbers += _lines(axes, x, panel, wide)
        axes.set(xlabel=x, ylabel=plain_text(LABELS.get(panel, brief(panel))))
        log_axis(axes)
        axes.margins(x=0.15 if x == SIZE else 0.05)
        if panel == first and logarithmic:
            axes.set_yscale("log")
            log_ticks(axes.yaxis)
        if panel == "loss":
            _floor(axes, wide)
        if panel.startswith("accuracy"):
            _look_up_table(axes, rows, panel.removeprefix("accuracy "))
    if grid[0, 0].get_legend_handles_labels()[1]:
        grid[0, 0].legend(fontsize=7)
    _say(figure, drawn, wide, rows, numbers)
    return figure, numbers


def _say(figure: Figure, quantities: list[str], wide: list[Row], rows: list[Row], numbers: list[Row]) -> None:
    """Writes below the panels what hollow marks and bars mean, and how quantities were measured."""
    said = [HOLLOW] if not all(row["saturated"] for row in numbers) else []
    said.append(said_of_bars({row["trainings"] for row in numbers}))
    write_below(figure, said + said_of_versions(rows) + said_of_how(quantities, wide))


HOLLOW = "Hollow: not saturated."

LABELS = {
    "loss": "pre-training loss, nats",
    "kl": "KL(truth || model), nats",
    "trace": "Tr(H), nats / parameter²",
}


def _lines(axes: Axes, x: str, quantity: str, wide: list[Row]) -> list[Row]:
    """Draws a line for each model against steps, or one line through all models by size. Returns the numbers."""
    points = last_of_each(wide) if x == SIZE else wide
    place = "parameters" if x == SIZE else "step"
    names = list(dict.fromkeys(row["name"] for row in points))
    lines = [names] if x == SIZE else [[name] for name in names]
    numbers = []
    for members, look in zip(lines, looks_of([members[0] for members in lines]), strict=True):
        mine = [row for row in points if row["name"] in members and quantity in row]
        drawn = []
        for key in sorted({(row[place], row["name"]) for row in mine}):
            same = [row for row in mine if (row[place], row["name"]) == key]
            value = over_seeds(same, quantity)
            assert value is not None
            drawn.append((key, value, same))
        label = None
        if x == STEPS and drawn:
            last = drawn[-1][2]
            fewer = next((f"{said} at some steps" for _, _, same in drawn if (said := fewer_seeds(same))), "")
            label = marked(members[0], _saturated(last), fewer_seeds(last) or fewer)
        numbers += _draw_line(axes, drawn, look, label)
    return [{"x": x, "quantity": quantity} | row | measured_columns(wide, quantity) for row in numbers]


Drawn = list[tuple[tuple[int, str], Estimate, list[Row]]]
"""(place, name), the mean, and its rows."""


def _saturated(rows: list[Row]) -> bool:
    return all(row["saturated"] for row in rows)


def _draw_line(axes: Axes, drawn: Drawn, look: Row, label: str | None) -> list[Row]:
    places, values = [key[0] for key, *_ in drawn], [value.value for _, value, _ in drawn]
    errors, color = [value.stderr for _, value, _ in drawn], look["color"]
    axes.errorbar(
        places, values, errors, color=color, linestyle=look["linestyle"], label=label, linewidth=1.1, capsize=2
    )
    rows = []
    for number, ((place, name), value, same) in enumerate(drawn):
        saturated = _saturated(same)
        face = color if saturated else "white"
        axes.plot(place, value.value, "o", color=color, markersize=4, markerfacecolor=face, zorder=3)
        if label is None:
            text = "\n".join(filter(None, [plain_text(brief(name)), fewer_seeds(same)]))
            # Neighbours may be close together, so their names alternate above and below.
            offset, side = ((3, 4), "bottom") if number % 2 == 0 else ((3, -4), "top")
            axes.annotate(text, (place, value.value), xytext=offset, textcoords="offset points", va=side, fontsize=6)
        row = {"at": place, "name": name, "model": same[0]["model"]}
        row |= {"value": value.value, "stderr": value.stderr, "n": value.n, "trainings": len(same)}
        rows.append(row | {"saturated": saturated})
    return rows


def _floor(axes: Axes, wide: list[Row]) -> None:
    floors = [row["floor"].value for row in wide if "floor" in row]
    if floors:
        axes.axhline(
            floors[-1], color="0.4", linestyle="--", linewidth=1, label=f"entropy of the truth {floors[-1]:.4g}"
        )


def _look_up_table(axes: Axes, rows: list[Row], panel: str) -> None:
    """Draws the look-up table's accuracy; far from all points, it has its number in the legend alone."""
    value = baseline(rows, "lookup", panel)
    if value is None:
        return
    low, high = axes.get_ylim()
    spread = max(high - low, 0.02)
    look: Row = {"color": "0.4", "linestyle": "--", "linewidth": 1}
    if low - spread <= value.value <= high + spread:
        axes.axhline(value.value, label=f"look-up table {value.value:.3f}", **look)
    else:
        axes.plot([], [], label=f"look-up table {value.value:.3f}, too far to be drawn", **look)
    axes.legend(fontsize=7)


def _flatness(wide: list[Row], rows: list[Row], tasks: list[str]) -> Made:
    return _against(STEPS, "trace", wide, rows, tasks, True)


def _enlarged(wide: list[Row], rows: list[Row], tasks: list[str]) -> Made:
    """A row of panels for each probe of each task: the total, then each kind of parameter, for last checkpoints."""
    last = [row for row in last_of_each(wide) if "enlarged" in row]
    panels = panels_of(last, tasks)
    if not last or not panels:
        return None
    kinds = sorted({key for row in last for key in row if key.startswith("enlarged")})
    shape = (len(panels), len(kinds))
    figure, grid = plt.subplots(
        *shape, figsize=(3.0 * shape[1], HEIGHT * shape[0]), squeeze=False, sharey="row", layout="constrained"
    )
    numbers: list[Row] = []
    for (i, panel), (j, kind) in ((p, k) for p in enumerate(panels) for k in enumerate(kinds)):
        axes = grid[i, j]
        numbers += _inside(axes, kind, panel, last)
        axes.set_title("total" if kind == "enlarged" else kind.removeprefix("enlarged "), fontsize=9)
        axes.set(xlabel="Tr(H) inside the larger model")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.ticklabel_format(axis="x", useOffset=False)
        axes.margins(x=0.15)
        grid[i, 0].set_ylabel(plain_text(f"accuracy {panel}"))
    if not numbers:
        plt.close(figure)
        return None
    grid[0, 0].legend(fontsize=7)
    _say(figure, ["enlarged", *(f"accuracy {panel}" for panel in panels)], last, rows, numbers)
    return figure, numbers


def _inside(axes: Axes, kind: str, panel: str, last: list[Row]) -> list[Row]:
    """Draws a panel of `_enlarged` with a point for each model. Returns the plotted numbers."""
    names, numbers = list(dict.fromkeys(row["name"] for row in last)), []
    for name, look in zip(names, looks_of(names), strict=True):
        mine = [row for row in last if row["name"] == name and kind in row and f"accuracy {panel}" in row]
        trace, accuracy = (over_seeds(mine, key) for key in (kind, f"accuracy {panel}"))
        if trace is None or accuracy is None:
            continue
        color, saturated = look["color"], _saturated(mine)
        bars: Row = {"xerr": trace.stderr, "yerr": accuracy.stderr, "capsize": 2, "elinewidth": 1}
        bars |= {
            "markerfacecolor": color if saturated else "white",
            "label": marked(name, saturated, fewer_seeds(mine)),
        }
        axes.errorbar(trace.value, accuracy.value, fmt=look["marker"], color=color, **bars)
        row: Row = {"task": panel, "kind": kind, "name": name, "saturated": saturated, "trainings": len(mine)}
        row |= {"trace": trace.value, "trace_stderr": trace.stderr, "trace_n": trace.n}
        row |= {"accuracy": accuracy.value, "accuracy_stderr": accuracy.stderr, "accuracy_n": accuracy.n}
        numbers.append(row | measured_columns(last, "enlarged"))
    return numbers


def _form(x: str, first: str, logarithmic: bool) -> Callable[[list[Row], list[Row], list[str]], Made]:
    return lambda wide, rows, tasks: _against(x, first, wide, rows, tasks, logarithmic)


FORMS: dict[str, Callable[[list[Row], list[Row], list[str]], Made]] = {
    "training": _form(STEPS, "loss", False),
    "training-kl": _form(STEPS, "kl", True),
    "flatness": _flatness,
    "sizes": _form(SIZE, "loss", False),
    "sizes-kl": _form(SIZE, "kl", True),
    "enlarged": _enlarged,
    "table": lambda wide, rows, tasks: None,
}
