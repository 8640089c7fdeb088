"""Figures and tables in the form of Liu et al. (2022), from recorded numbers alone.

form            theirs              what it shows
training        Figure 1            loss and accuracy against training steps
training-kl     Figure 10           log KL and accuracy against training steps
flatness        Figures 3 and 11    accuracy and Tr(H) against training steps
sizes           Figure 2            loss and accuracy against the number of parameters, last checkpoints
sizes-kl        Figure 10           log KL and accuracy against the number of parameters
enlarged        Figure 5            accuracy against Tr(H), every model viewed inside the same larger one
table           Tables 1 and 2      loss, accuracy and Tr(H) of each model's last checkpoint

Loss is KL + floor. Bars are one standard error: over seeds where there are several, else of the measurement. Hollow
marks are checkpoints that are not saturated; the figure says so where there are any. Each probe that was measured has a
panel. Under the panels stands how the numbers were measured, and in the columns method and settings of the CSV.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..disk import write_atomic
from ..errors import InputError, unknown
from ..estimate import Estimate
from .choice import described
from .figures import log_axis, marked, write_below
from .results import write_csv
from .wide import baseline, how_of, last_of_each, over_seeds, panels_of

Row = dict[str, Any]

WIDTH, HEIGHT = 4.2, 3.2
"""Inches of a panel."""

STEPS, SIZE = "training step", "parameters"


def check_forms(forms: list[str]) -> None:
    """Raises InputError for a form that does not exist, and for one that is given twice."""
    for form in forms:
        if form not in FORMS:
            raise unknown("form", form, FORMS)
    if len(set(forms)) < len(forms):
        raise InputError(f"form is {forms}, expected each once; remove the repeated one")


def draw_forms(forms: list[str], wide: list[Row], rows: list[Row], tasks: list[str], out: Path) -> list[Path]:
    """Each form as paper-FORM.png, .pdf and .csv (a table as .md and .csv), where anything was measured for it."""
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for form in forms:
        if form == "table":
            written += _table(wide, rows, tasks, out)
        elif made := FORMS[form](wide, rows, tasks):
            figure, numbers = made
            for suffix in (".png", ".pdf"):
                figure.savefig(out / f"paper-{form}{suffix}", dpi=150)
                written.append(out / f"paper-{form}{suffix}")
            plt.close(figure)
            write_csv(numbers, list(numbers[0]), out / f"paper-{form}.csv")
    return written


Made = tuple[Figure, list[Row]] | None


def _against(x: str, first: str, wide: list[Row], rows: list[Row], tasks: list[str], logarithmic: bool) -> Made:
    """A panel of the quantity `first`, and one of accuracy for each probe of each task, against x."""
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
        axes.set(xlabel=x, ylabel=LABELS.get(panel, panel))
        log_axis(axes)
        axes.margins(x=0.15 if x == SIZE else 0.05)
        if panel == first and logarithmic:
            axes.set_yscale("log")
        if panel == "loss":
            _floor(axes, wide)
        if panel.startswith("accuracy"):
            _look_up_table(axes, rows, panel.removeprefix("accuracy "))
    if grid[0, 0].get_legend_handles_labels()[1]:
        grid[0, 0].legend(fontsize=7)
    _say(figure, drawn, wide, numbers)
    return figure, numbers


def _say(figure: Figure, quantities: list[str], wide: list[Row], numbers: list[Row]) -> None:
    """Below the panels: what hollow marks are, where there are any, and how each quantity was measured."""
    said = [HOLLOW] if not all(row["saturated"] for row in numbers) else []
    write_below(figure, said + _hows(quantities, wide))


def _hows(quantities: list[str], wide: list[Row]) -> list[str]:
    """How each quantity was measured."""
    hows = {quantity: how for quantity in quantities if (how := how_of(wide, quantity)) is not None}
    return [f"{quantity}: {described(*how)}" for quantity, how in hows.items()]


HOLLOW = "Hollow: not saturated."

LABELS = {
    "loss": "pre-training loss, nats",
    "kl": "KL(truth || model), nats",
    "trace": "Tr(H), nats / parameter²",
}


def _lines(axes: Axes, x: str, quantity: str, wide: list[Row]) -> list[Row]:
    """One line a model against steps, or one line through the models by size; the plotted numbers."""
    points = last_of_each(wide) if x == SIZE else wide
    place = "parameters" if x == SIZE else "step"
    names = list(dict.fromkeys(row["name"] for row in points))
    lines = [names] if x == SIZE else [[name] for name in names]
    numbers = []
    for number, members in enumerate(lines):
        mine = [row for row in points if row["name"] in members and quantity in row]
        drawn = []
        for key in sorted({(row[place], row["name"]) for row in mine}):
            same = [row for row in mine if (row[place], row["name"]) == key]
            value = over_seeds(same, quantity)
            assert value is not None
            drawn.append((key, value, all(row["saturated"] for row in same), same[0]))
        label = None if x == SIZE or not drawn else marked(members[0], drawn[-1][2])
        color = plt.get_cmap("tab10")(number % 10)
        numbers += _draw_line(axes, drawn, color, label)
    method, settings = how_of(wide, quantity) or (None, None)
    return [{"x": x, "quantity": quantity} | row | {"method": method, "settings": settings} for row in numbers]


Drawn = list[tuple[tuple[int, str], Estimate, bool, Row]]


def _draw_line(axes: Axes, drawn: Drawn, color: Any, label: str | None) -> list[Row]:
    places, values = [key[0] for key, *_ in drawn], [value.value for _, value, *_ in drawn]
    axes.errorbar(
        places, values, [value.stderr for _, value, *_ in drawn], color=color, label=label, linewidth=1.1, capsize=2
    )
    rows = []
    for (place, name), value, saturated, row in drawn:
        axes.plot(place, value.value, "o", color=color, markersize=4, markerfacecolor=color if saturated else "white")
        if label is None:
            axes.annotate(name, (place, value.value), xytext=(3, 4), textcoords="offset points", fontsize=6)
        rows.append({"at": place, "name": name, "model": row["model"]} | _columns(value) | {"saturated": saturated})
    return rows


def _columns(value: Estimate) -> Row:
    return {"value": value.value, "stderr": value.stderr, "n": value.n}


def _floor(axes: Axes, wide: list[Row]) -> None:
    floors = [row["floor"].value for row in wide if "floor" in row]
    if floors:
        axes.axhline(
            floors[-1], color="0.4", linestyle="--", linewidth=1, label=f"entropy of the truth {floors[-1]:.4g}"
        )


def _look_up_table(axes: Axes, rows: list[Row], panel: str) -> None:
    value = baseline(rows, "lookup", panel)
    if value is not None:
        axes.axhline(value.value, color="0.4", linestyle="--", linewidth=1, label=f"look-up table {value.value:.3f}")
        axes.legend(fontsize=7)


def _flatness(wide: list[Row], rows: list[Row], tasks: list[str]) -> Made:
    return _against(STEPS, "trace", wide, rows, tasks, True)


def _enlarged(wide: list[Row], rows: list[Row], tasks: list[str]) -> Made:
    """A row of panels for each probe of each task: one for the total, one for each kind of parameter; last checkpoints."""
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
    how = how_of(last, "enlarged") or (None, None)
    for (i, panel), (j, kind) in ((p, k) for p in enumerate(panels) for k in enumerate(kinds)):
        axes = grid[i, j]
        for number, name in enumerate(dict.fromkeys(row["name"] for row in last)):
            mine = [row for row in last if row["name"] == name]
            trace, accuracy = (over_seeds(mine, key) for key in (kind, f"accuracy {panel}"))
            if trace is None or accuracy is None:
                continue
            color, saturated = plt.get_cmap("tab10")(number % 10), all(row["saturated"] for row in mine)
            bars = {"xerr": trace.stderr, "yerr": accuracy.stderr, "capsize": 2, "elinewidth": 1}
            face = color if saturated else "white"
            label = marked(name, saturated)
            axes.errorbar(trace.value, accuracy.value, fmt="o", color=color, markerfacecolor=face, label=label, **bars)
            row: Row = {"task": panel, "kind": kind, "name": name, "saturated": saturated}
            row |= {"trace": trace.value, "trace_stderr": trace.stderr, "trace_n": trace.n}
            row |= {"accuracy": accuracy.value, "accuracy_stderr": accuracy.stderr, "accuracy_n": accuracy.n}
            numbers.append(row | {"method": how[0], "settings": how[1]})
        axes.set_title("total" if kind == "enlarged" else kind.removeprefix("enlarged "), fontsize=9)
        axes.set(xlabel="Tr(H) inside the larger model")
        grid[i, 0].set_ylabel(f"accuracy {panel}")
    if not numbers:
        plt.close(figure)
        return None
    grid[0, 0].legend(fontsize=7)
    _say(figure, ["enlarged", *(f"accuracy {panel}" for panel in panels)], last, numbers)
    return figure, numbers


def _table(wide: list[Row], rows: list[Row], tasks: list[str], out: Path) -> list[Path]:
    """paper-table.csv and .md: a row a model, and one for the look-up table, whose loss is the floor."""
    last = last_of_each(wide)
    panels = panels_of(last, tasks)
    columns = ["loss", "kl", *(f"accuracy {panel}" for panel in panels), "trace"]
    columns = [column for column in columns if any(column in row for row in last)]
    found: list[tuple[str, bool, dict[str, Estimate | None]]] = []
    for name in dict.fromkeys(row["name"] for row in last):
        mine = [row for row in last if row["name"] == name]
        cells = {column: over_seeds(mine, column) for column in columns}
        found.append((name, all(row["saturated"] for row in mine), cells))
    table: dict[str, Estimate | None] = {f"accuracy {panel}": baseline(rows, "lookup", panel) for panel in panels}
    if floors := [row["floor"] for row in last if "floor" in row]:
        table |= {"loss": floors[0], "kl": Estimate(0.0, 0.0, 1)}
    found.append(("look-up table", True, table))
    lines = [f"| | {' | '.join(columns)} | saturated |", f"|---|{'---|' * (len(columns) + 1)}"]
    numbers = []
    for name, saturated, cells in found:
        texts = [_cell(cells.get(column)) for column in columns]
        lines.append(f"| {name} | {' | '.join(texts)} | {'yes' if saturated else 'no'} |")
        for column in columns:
            value = cells.get(column)
            if value is not None:
                how = how_of(last, column) or (None, None)
                row: Row = {"name": name, "quantity": column} | _columns(value) | {"saturated": saturated}
                numbers.append(row | {"method": how[0], "settings": how[1]})
    lines += ["", *(f"{said}  " for said in _hows(columns, last))]
    write_atomic(out / "paper-table.md", "\n".join(lines) + "\n")
    names = ["name", "quantity", "value", "stderr", "n", "saturated", "method", "settings"]
    write_csv(numbers, names, out / "paper-table.csv")
    return [out / "paper-table.md", out / "paper-table.csv"]


def _cell(value: Estimate | None) -> str:
    if value is None:
        return ""
    return f"{value.value:.4g}" if not value.stderr > 0 else f"{value.value:.4g} +- {value.stderr:.2g} (n = {value.n})"


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
