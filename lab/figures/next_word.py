"""Figures of the theorems on next-word prediction, drawn from recorded rows.

figure                    what it shows
saunshi-bounds            excess task loss, error and both bounds against the excess loss epsilon, along training
saunshi-gamma             gamma and gamma_Delta by the length of the prefixes, last checkpoints
saunshi-features          cross-entropy of probes on each representation, last checkpoints
saunshi-log-partition     share of the variance of log Z that quadratic forms do not explain, along training
saunshi-log-z             log Z against its quadratic fit on fresh contexts, last checkpoints
saunshi-natural           tau(B) and tau_Phi(B) of each task against B, last checkpoints
"""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from .lettering import looks_of, plain_text, write_below
from .next_word_curves import POINT, log_z, natural_tasks

Row = dict[str, Any]
Job = tuple[str, Callable[[], tuple[Figure, list[Row]]]]

SAID = "Bars: one standard error over the sentences of one training."

BOUNDS = {
    "excess": ("unconstrained: |excess| <= error", "value"),
    "error": ("unconstrained: |excess| <= error", "right"),
    "refined bound": ("unconstrained: that <= refined bound", "right"),
    "bound": ("unconstrained: refined bound <= bound", "right"),
}
"""Quantity drawn against epsilon -> its link and the side of the link."""

EPSILON = "softmax: kl = least kl + epsilon"


def next_word_jobs(rows: list[Row]) -> list[Job]:
    """The figures that the recorded rows allow.

    Args:
        rows: rows of results.

    Returns:
        The name of each figure, and the function that draws it.
    """
    found = {name: [row for row in rows if row["what"] == "theorem" and row["method"] == name] for name in METHODS}
    by_length = [row for row in found["saunshi"] if _setting(row, "words") is not None]
    found["saunshi"] = [row for row in found["saunshi"] if _setting(row, "words") is None]
    jobs: list[Job] = []
    for method, (name, figure) in METHODS.items():
        # Each setting, such as a task, has its own figure.
        for number, settings in enumerate(dict.fromkeys(row["settings"] for row in found[method]), start=1):
            mine = [row for row in found[method] if row["settings"] == settings]
            jobs.append((name if number == 1 else f"{name}-{number}", partial(figure, mine)))
    if by_length:
        jobs.append(("saunshi-gamma", partial(_gamma, by_length)))
    points = [row for row in _last(found["saunshi-log-partition"]) if row["block"].startswith(POINT)]
    if points:
        jobs.append(("saunshi-log-z", partial(log_z, points)))
    if curves := [row for row in rows if row["what"] == "theorem" and row["method"] == "saunshi-natural"]:
        jobs.append(("saunshi-natural", partial(natural_tasks, _last(curves))))
    return jobs


def _setting(row: Row, name: str) -> Any:
    return json.loads(row["settings"]).get(name)


def _links(rows: list[Row]) -> dict[tuple[Any, ...], dict[str, Row]]:
    """(run, step, settings) -> link -> row."""
    found: dict[tuple[Any, ...], dict[str, Row]] = {}
    for row in rows:
        found.setdefault((row["run"], row["step"], row["settings"]), {})[row["block"]] = row
    return found


def _side(links: dict[str, Row], link: str, side: str) -> tuple[float, float]:
    """(value, standard error) of a side of a link."""
    row = links[link]
    error = row["stderr" if side == "value" else "right_stderr"]
    return row[side], math.nan if error is None else error


def _bounds(rows: list[Row]) -> tuple[Figure, list[Row]]:
    figure, axes = plt.subplots(figsize=(6, 4.2), layout="constrained")
    numbers: list[Row] = []
    for (run, step, settings), links in _links(rows).items():
        epsilon, error = _side(links, EPSILON, "value")
        for name, (link, side) in BOUNDS.items():
            value, stderr = _side(links, link, side)
            row = {"run": run, "step": step, "settings": settings, "quantity": name, "epsilon": epsilon}
            numbers.append(row | {"epsilon_stderr": error, "value": value, "stderr": stderr, "n": links[link]["n"]})
    for name, look in zip(BOUNDS, looks_of(list(BOUNDS)), strict=True):
        mine = sorted((row for row in numbers if row["quantity"] == name), key=lambda row: row["epsilon"])
        place, values = [row["epsilon"] for row in mine], [row["value"] for row in mine]
        bars: Row = {"yerr": [row["stderr"] for row in mine], "elinewidth": 0.7, "markersize": 3.5}
        axes.errorbar(place, values, fmt=look["marker"], color=look["color"], label=name, **bars)
    ends = sorted(row["epsilon"] for row in numbers)
    middle = sorted(row["value"] for row in numbers if row["quantity"] == "error")[len(numbers) // 8]
    between = ends[len(ends) // 2]
    line = [middle * math.sqrt(end / between) for end in (ends[0], ends[-1])]
    axes.plot([ends[0], ends[-1]], line, color="0.5", linestyle="--", linewidth=0.8, label="slope 1/2")
    axes.set(xscale="log", yscale="log", xlabel="epsilon = KL(truth || model), nats", ylabel="task loss")
    axes.legend(fontsize=7)
    write_below(figure, [f"Task {_setting(rows[0], 'task')}.", SAID])
    return figure, numbers


def _last(rows: list[Row]) -> list[Row]:
    """The rows of each run's last checkpoint."""
    last: dict[str, int] = {}
    for row in rows:
        last[row["run"]] = max(row["step"], last.get(row["run"], 0))
    return [row for row in rows if row["step"] == last[row["run"]]]


def _gamma(rows: list[Row]) -> tuple[Figure, list[Row]]:
    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    numbers: list[Row] = []
    for row in _last(rows):
        if row["block"] != "unconstrained: gamma <= gamma_Delta":
            continue
        for name, side in (("gamma", "value"), ("gamma_Delta", "right")):
            error = row["stderr" if side == "value" else "right_stderr"]
            named = {"run": row["run"], "step": row["step"], "settings": row["settings"], "quantity": name}
            numbers.append(
                named | {"words": _setting(row, "words"), "value": row[side], "stderr": error, "n": row["n"]}
            )
    runs = list(dict.fromkeys(row["run"] for row in numbers))
    for name, marker in (("gamma", "_"), ("gamma_Delta", "o")):
        for number, run in enumerate(runs):
            mine = sorted((r for r in numbers if (r["run"], r["quantity"]) == (run, name)), key=lambda r: r["words"])
            color = "0.3" if name == "gamma" else f"C{number % 10}"
            label = name if number == 0 else None
            place, values = [row["words"] for row in mine], [row["value"] for row in mine]
            axes.plot(place, values, marker=marker, color=color, linewidth=0.8, label=label)
    axes.set(xlabel="words of the prefix", ylabel="share", ylim=(0, None))
    axes.legend(fontsize=7)
    write_below(figure, ["Each colour is one training."])
    return figure, numbers


def _features(rows: list[Row]) -> tuple[Figure, list[Row]]:
    numbers: list[Row] = []
    for row in _last(rows):
        name, _, said = row["block"].partition(": ")
        quantity = "cross-entropy" if "entropy" in said else "mistakes"
        named = {"run": row["run"], "step": row["step"], "settings": row["settings"], "representation": name}
        value = {"value": row["right"], "stderr": row["right_stderr"], "n": row["n"]}
        numbers.append(named | {"quantity": quantity} | value | {"least": row["value"], "least_stderr": row["stderr"]})
    figure, axes = plt.subplots(1, 2, figsize=(8.5, 4), layout="constrained", sharey=True)
    names = list(dict.fromkeys(row["representation"] for row in numbers))
    for panel, quantity in zip(axes, ("cross-entropy", "mistakes"), strict=True):
        mine = [row for row in numbers if row["quantity"] == quantity]
        runs = list(dict.fromkeys(row["run"] for row in mine))
        for number, run in enumerate(runs):
            of_run = [row for row in mine if row["run"] == run]
            place = [len(names) - 1 - names.index(row["representation"]) for row in of_run]
            values, errors = [row["value"] for row in of_run], [row["stderr"] for row in of_run]
            color = f"C{number % 10}"
            panel.errorbar(values, place, xerr=errors, fmt="o", markersize=3.5, color=color, elinewidth=0.8)
            panel.axvline(of_run[0]["least"], color=color, linestyle="--", linewidth=0.8)
        panel.set(xlabel="cross-entropy, nats" if quantity == "cross-entropy" else "share of mistakes")
    axes[0].set_yticks(range(len(names)), [plain_text(name) for name in reversed(names)])
    said = _setting(rows[0], "task")
    write_below(
        figure,
        [f"Task {said}. Dashed: the law of the label, which no classifier beats. Each colour is one training.", SAID],
    )
    return figure, numbers


def _log_partition(rows: list[Row]) -> tuple[Figure, list[Row]]:
    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    numbers: list[Row] = []
    for row in rows:
        if not row["block"].startswith("log Z, fresh contexts: 1 - R2"):
            continue
        for form, side in (("fit", "value"), ("expansion", "right")):
            error = row["stderr" if side == "value" else "right_stderr"]
            named = {"run": row["run"], "step": row["step"], "settings": row["settings"], "form": form}
            numbers.append(named | {"value": row[side], "stderr": error, "n": row["n"]})
    for number, run in enumerate(dict.fromkeys(row["run"] for row in numbers)):
        for form, line in (("fit", "-"), ("expansion", ":")):
            mine = sorted((r for r in numbers if (r["run"], r["form"]) == (run, form)), key=lambda r: r["step"])
            label = form if number == 0 else None
            place, values = [row["step"] for row in mine], [row["value"] for row in mine]
            axes.plot(place, values, line, marker="o", markersize=3.5, color=f"C{number % 10}", label=label)
    axes.set(xscale="log", yscale="log", xlabel="training step", ylabel="1 - R2 of log Z on fresh contexts")
    axes.legend(fontsize=7)
    write_below(figure, ["Each colour is one training."])
    return figure, numbers


METHODS: dict[str, tuple[str, Callable[[list[Row]], tuple[Figure, list[Row]]]]] = {
    "saunshi": ("saunshi-bounds", _bounds),
    "saunshi-features": ("saunshi-features", _features),
    "saunshi-log-partition": ("saunshi-log-partition", _log_partition),
}
"""Theorem -> the name of its figure, and the function that draws it."""
