"""The change of the trace under a rescaling of the weights that changes no prediction, from recorded rows."""

from typing import Any

Row = dict[str, Any]

RESCALED = "rescaled_trace"


def rescalings(rows: list[Row]) -> list[Row]:
    """A row for each checkpoint and factor: run, step, alpha, trace and blocks, the last two as value, stderr and n."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        if row["what"] != RESCALED:
            continue
        alpha, _, block = row["block"].partition("/")
        key = (row["run"], row["step"], alpha)
        mine = found.setdefault(
            key, {"run": row["run"], "step": row["step"], "alpha": alpha, "trace": {}, "blocks": {}}
        )
        estimate = {name: row[name] for name in ("value", "stderr", "n")}
        if block:
            mine["blocks"][block] = estimate
        else:
            mine["trace"] = estimate
    return [row for row in found.values() if row["trace"]]


def said_of_rescaling(rows: list[Row]) -> list[str]:
    """A sentence with the largest factor by which Tr(H) changed in a checkpoint; no sentence if it was not measured."""
    largest: tuple[float, str] = (0.0, "")
    for run, step in dict.fromkeys((row["run"], row["step"]) for row in rescalings(rows)):
        mine = [row for row in rescalings(rows) if (row["run"], row["step"]) == (run, step)]
        values = [row["trace"]["value"] for row in mine]
        if len(values) > 1 and min(values) > 0:
            alphas = ", ".join(row["alpha"] for row in mine)
            text = f"rescaling by {alphas} at step {step} of {run}"
            largest = max(largest, (max(values) / min(values), text))
    if not largest[1]:
        return []
    return [
        f"Weights rescaled so that no prediction changes: Tr(H) changes by a factor of {largest[0]:.3g} ({largest[1]})."
    ]
