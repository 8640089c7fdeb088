"""tau against B, and log Z against its quadratic fit, from recorded rows alone; see `next_word`."""

import json
import math
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .lettering import write_below

Row = dict[str, Any]

POINT, LEAST, RESTRICTED = "log Z at fresh context", "least loss <= tau", "tau <= tau_Phi"
"""Parts of the names of links of the theorems saunshi-log-partition and saunshi-natural."""

PANELS_ACROSS = 3

SAID = "Bars: one standard error over the sentences."


def log_z(rows: list[Row]) -> tuple[Figure, list[Row]]:
    """log Z against the quadratic form that was fitted to it on other contexts, with the line y = x.

    Args:
        rows: of single contexts, of one checkpoint a run.

    Returns:
        The figure and its numbers.
    """
    figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    numbers: list[Row] = []
    for row in rows:
        named = {"run": row["run"], "step": row["step"], "settings": row["settings"]}
        number = int(row["block"].removeprefix(POINT).partition(":")[0])
        numbers.append(named | {"context": number, "log_z": row["value"], "fit": row["right"]})
    for number, run in enumerate(dict.fromkeys(row["run"] for row in numbers)):
        mine = [row for row in numbers if row["run"] == run]
        place, values = [row["fit"] for row in mine], [row["log_z"] for row in mine]
        axes.plot(place, values, "o", markersize=3, color=f"C{number % 10}", alpha=0.7)
    ends = [end(row[name] for row in numbers for name in ("log_z", "fit")) for end in (min, max)]
    axes.plot(ends, ends, color="0.4", linewidth=0.8, label="y = x")
    axes.set(xlabel="quadratic form of the features, nats", ylabel="log Z, nats", aspect="equal")
    axes.legend(fontsize=7)
    write_below(figure, ["Fresh contexts, evenly spread over log Z. Each colour is one training."])
    return figure, numbers


def natural_tasks(rows: list[Row]) -> tuple[Figure, list[Row]]:
    """tau(B) of each task, tau_Phi(B) of each model, and what no classifier beats, against B.

    Args:
        rows: of the theorem saunshi-natural, of one checkpoint a run.

    Returns:
        The figure and its numbers.
    """
    numbers = [number for row in rows for number in _sides(row)]
    tasks = list(dict.fromkeys(row["settings"] for row in numbers))
    across = min(PANELS_ACROSS, len(tasks))
    down = -(-len(tasks) // across)
    size = (3.4 * across + 0.6, 3.1 * down + 0.6)
    figure, panels = plt.subplots(down, across, figsize=size, layout="constrained", squeeze=False, sharex=True)
    for axes, settings in zip(panels.flat, tasks, strict=False):
        _panel(axes, [row for row in numbers if row["settings"] == settings])
    for axes in panels.flat[len(tasks) :]:
        axes.set_visible(False)
    panels[0][0].legend(fontsize=7)
    write_below(figure, ["Each colour is one training. Dashed: what no classifier beats.", SAID])
    return figure, numbers


def _sides(row: Row) -> list[Row]:
    """The numbers that a link holds: tau, and tau_Phi or the least loss."""
    bound, _, said = row["block"].removeprefix("B = ").partition(": ")
    names = ("least", "tau") if said == LEAST else ("tau", "tau_Phi") if said == RESTRICTED else ()
    named = {"run": row["run"], "step": row["step"], "settings": row["settings"], "bound": float(bound)}
    errors = row["stderr"], row["right_stderr"]
    return [
        named | {"quantity": name, "value": value, "stderr": error, "n": row["n"]}
        for name, value, error in zip(names, (row["value"], row["right"]), errors, strict=False)
        if not (said == RESTRICTED and name == "tau")
    ]


def _panel(axes: Any, rows: list[Row]) -> None:
    """Draws the curves of one task."""
    runs = list(dict.fromkeys(row["run"] for row in rows))
    for number, run in enumerate(runs):
        mine = sorted((row for row in rows if row["run"] == run), key=lambda row: row["bound"])
        for name, line in (("tau_Phi", "o-"), ("tau", "s-"), ("least", "--")):
            # All but tau_Phi depend on the sampled sentences alone, which all runs share.
            if name != "tau_Phi" and number > 0:
                continue
            of = [row for row in mine if row["quantity"] == name]
            color = f"C{number % 10}" if name == "tau_Phi" else "0.3"
            errors = [math.nan if row["stderr"] is None else row["stderr"] for row in of]
            place, values = [row["bound"] for row in of], [row["value"] for row in of]
            label = name if number == 0 and name != "least" else None
            bars = {"yerr": errors, "elinewidth": 0.6} if name != "least" else {}
            axes.errorbar(place, values, fmt=line, color=color, markersize=3.2, linewidth=0.9, label=label, **bars)
    settings = json.loads(rows[0]["settings"])
    unit = "loss" if settings.get("loss") == "hinge" else "nats"
    words = "" if settings.get("words") is None else f", {settings['words']} words"
    axes.set(xscale="log", xlabel="B", ylabel=f"task loss, {unit}", title=f"{settings.get('task')}{words}")
