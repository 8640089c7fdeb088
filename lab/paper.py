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
marks are checkpoints that are not saturated.
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
from .figures import log_axis
from .results import write_csv
from .wide import baseline, last_of_each, over_seeds

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
    """A panel of the quantity `first`, and one of accuracy for each task, against x."""
    panels = [first, *(f"accuracy {task}" for task in tasks)]
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
        if panel == first and logarithmic:
            axes.set_yscale("log")
        if panel == "loss":
            _floor(axes, wide)
        if panel.startswith("accuracy"):
            _look_up_table(axes, rows, panel.removeprefix("accuracy "))
    if grid[0, 0].get_legend_handles_labels()[1]:
        grid[0, 0].legend(fontsize=7)
    return figure, numbers


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
        label = None if x == SIZE else members[0]
        color = plt.get_cmap("tab10")(number % 10)
        numbers += _draw_line(axes, drawn, color, label)
    return [{"x": x, "quantity": quantity} | row for row in numbers]


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
    floors = [row["loss"].value - row["kl"].value for row in wide if "loss" in row]
    if floors:
        axes.axhline(
            floors[-1], color="0.4", linestyle="--", linewidth=1, label=f"entropy of the truth {floors[-1]:.4g}"
        )


def _look_up_table(axes: Axes, rows: list[Row], task: str) -> None:
    value = baseline(rows, "lookup", task)
    if value is not None:
        axes.axhline(value.value, color="0.4", linestyle="--", linewidth=1, label=f"look-up table {value.value:.3f}")
        axes.legend(fontsize=7)


def _flatness(wide: list[Row], rows: list[Row], tasks: list[str]) -> Made:
    return _against(STEPS, "trace", wide, rows, tasks, True)


def _enlarged(wide: list[Row], rows: list[Row], tasks: list[str]) -> Made:
    """A panel a task for the total, and one for each kind of parameter, of the last checkpoints."""
    last = [row for row in last_of_each(wide) if "enlarged" in row]
    tasks = [task for task in tasks if any(f"accuracy {task}" in row for row in last)]
    if not last or not tasks:
        return None
    kinds = sorted({key for row in last for key in row if key.startswith("enlarged")})
    shape = (len(tasks), len(kinds))
    figure, grid = plt.subplots(
        *shape, figsize=(3.0 * shape[1], HEIGHT * shape[0]), squeeze=False, sharey="row", layout="constrained"
    )
    numbers: list[Row] = []
    for (i, task), (j, kind) in ((t, k) for t in enumerate(tasks) for k in enumerate(kinds)):
        axes = grid[i, j]
        for number, name in enumerate(dict.fromkeys(row["name"] for row in last)):
            mine = [row for row in last if row["name"] == name]
            trace, accuracy = (over_seeds(mine, key) for key in (kind, f"accuracy {task}"))
            if trace is None or accuracy is None:
                continue
            color, saturated = plt.get_cmap("tab10")(number % 10), all(row["saturated"] for row in mine)
            bars = {"xerr": trace.stderr, "yerr": accuracy.stderr, "capsize": 2, "elinewidth": 1}
            face = color if saturated else "white"
            axes.errorbar(trace.value, accuracy.value, fmt="o", color=color, markerfacecolor=face, label=name, **bars)
            row: Row = {"task": task, "kind": kind, "name": name, "saturated": saturated}
            row |= {"trace": trace.value, "trace_stderr": trace.stderr, "trace_n": trace.n}
            row |= {"accuracy": accuracy.value, "accuracy_stderr": accuracy.stderr, "accuracy_n": accuracy.n}
            numbers.append(row)
        axes.set_title("total" if kind == "enlarged" else kind.removeprefix("enlarged "), fontsize=9)
        axes.set(xlabel="Tr(H) inside the larger model")
        grid[i, 0].set_ylabel(f"accuracy {task}")
    grid[0, 0].legend(fontsize=7)
    return figure, numbers


def _table(wide: list[Row], rows: list[Row], tasks: list[str], out: Path) -> list[Path]:
    """paper-table.csv and .md: a row a model, and one for the look-up table, whose loss is the floor."""
    last = last_of_each(wide)
    columns = ["loss", "kl", *(f"accuracy {task}" for task in tasks), "trace"]
    columns = [column for column in columns if any(column in row for row in last)]
    found: list[tuple[str, bool, dict[str, Estimate | None]]] = []
    for name in dict.fromkeys(row["name"] for row in last):
        mine = [row for row in last if row["name"] == name]
        cells = {column: over_seeds(mine, column) for column in columns}
        found.append((name, all(row["saturated"] for row in mine), cells))
    table: dict[str, Estimate | None] = {f"accuracy {task}": baseline(rows, "lookup", task) for task in tasks}
    if any("loss" in row for row in last):
        floor = next(row["loss"].value - row["kl"].value for row in last if "loss" in row)
        table |= {"loss": Estimate(floor, 0.0, 1), "kl": Estimate(0.0, 0.0, 1)}
    found.append(("look-up table", True, table))
    lines = [f"| | {' | '.join(columns)} | saturated |", f"|---|{'---|' * (len(columns) + 1)}"]
    numbers = []
    for name, saturated, cells in found:
        texts = [_cell(cells.get(column)) for column in columns]
        lines.append(f"| {name} | {' | '.join(texts)} | {'yes' if saturated else 'no'} |")
        for column in columns:
            value = cells.get(column)
            if value is not None:
                numbers.append({"name": name, "quantity": column} | _columns(value) | {"saturated": saturated})
    write_atomic(out / "paper-table.md", "\n".join(lines) + "\n")
    write_csv(numbers, ["name", "quantity", "value", "stderr", "n", "saturated"], out / "paper-table.csv")
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
