"""Compares the numbers of a study with published ones.

Accuracy is that of the published probe, linear-adamw, if it was measured, otherwise that of linear; rows say which.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ...errors import InputError, placed, unknown
from ...estimate import Estimate
from ...system.disk import write_atomic
from ..file_names import MOST_BYTES, file_parts
from ..reading import STUDY, from_mapping
from .model_table import baseline_row, between_seeds, how_of, last_of_each, over_seeds, versions_in
from .results import write_csv
from .row_selection import Setting, described, panel_name, setting_of

Row = dict[str, Any]

QUANTITIES = ("loss", "kl", "accuracy", "trace", "enlarged")
BASELINE_NAMES = ("majority", "lookup", "bayes")
PUBLISHED_PROBE = "linear-adamw"
COLUMNS = (
    *("source", "what", "published", "published_stderr", "ours", "ours_stderr", "n", "seeds", "difference"),
    *("method", "settings", "satlab", "saturated"),
)
HEADS = ("source", "what", "published", "ours", "ours - published", "measured by", "saturated")
MEANING = (
    "n: trainings that ours is a mean over; baselines have none. +- of ours is one standard error. A number of one "
    "model: over its trainings and of the measurement, which all of them share. A difference of two models, which are "
    "measured on the same sentences: over the trainings alone, where there are several. The difference from a baseline "
    "has both errors in full. ours - published has the error of ours, beside that of the published number where one is "
    "printed. saturated: whether all of our models that a row is about are."
)


@dataclass(frozen=True)
class Published:
    """A number from a paper: of a model's last checkpoint, or of the difference of two checkpoints or models.

    Args:
        quantity: loss or kl (nats), accuracy (a share), trace or enlarged (Tr(H), alone or inside the study's
            enlarge_to).
        value: the number.
        source: its place in the paper.
        model: a key of the study's models; for accuracy also majority, lookup or bayes; for loss and kl also lookup,
            the truth itself, whose loss is its entropy.
        task: the task, for accuracy.
        minus: subtract the number of this model or baseline, or "saturation": that of the same model at its first
            saturated checkpoint.
        stderr: the spread printed with it.
    """

    quantity: str
    value: float
    source: str
    model: str
    task: str | None = None
    minus: str | None = None
    stderr: float | None = None

    @property
    def what(self) -> str:
        """The quantity and its model: "accuracy A, bert-1x8 minus lookup"."""
        subtracted = "" if self.minus is None else f" minus {self.minus}"
        return f"{self.quantity}{'' if self.task is None else ' ' + self.task}, {self.model}{subtracted}"


def read_published(
    entries: list[Any], models: Mapping[str, Any], tasks: list[str], enlarge_to: str | None = None
) -> list[Published]:
    """Reads the published numbers that a study lists.

    Args:
        entries: the value of its key `published`.
        models: the study's models.
        tasks: its tasks.
        enlarge_to: the larger model in which it measures traces; None for none.

    Returns:
        The numbers.

    Raises:
        InputError: for an unknown key, quantity, model or task, and for a number that the study never measures.
    """
    found = []
    for number, entry in enumerate(entries, start=1):
        where = (STUDY, f"published {number}")
        if not isinstance(entry, Mapping):
            expected = ", ".join(field.name for field in fields(Published))
            raise InputError(f"is '{entry}', expected a mapping with keys of {expected}; correct it", *where)
        item = from_mapping(Published, entry, *where)
        checks: list[tuple[str, str, tuple[str, ...]]] = [("quantity", item.quantity, QUANTITIES)]
        checks.append(("model", item.model, (*models, *BASELINE_NAMES)))
        if item.minus is not None:
            checks.append(("model", item.minus, (*models, *BASELINE_NAMES, "saturation")))
        if item.quantity == "accuracy":
            checks.append(("task of this study", str(item.task), tuple(tasks)))
        for kind, given, known in checks:
            if given not in known:
                raise unknown(kind, given, known).at(*where)
        with placed(*where):
            _check_numbers(item)
        if never := _never(item, enlarge_to):
            raise InputError(f"{item.what}: {never}", *where)
        found.append(item)
    return found


def _check_numbers(item: Published) -> None:
    """Checks the numbers of an entry.

    Raises:
        InputError: for a value that is not finite, and for a standard error that is negative or not finite.
    """
    if not math.isfinite(item.value):
        raise InputError(f"value is {item.value}, expected a finite number; correct it")
    if item.stderr is not None and not 0 <= item.stderr < math.inf:
        raise InputError(f"stderr is {item.stderr}, expected a finite number from 0; correct it")


def _never(item: Published, enlarge_to: str | None) -> str | None:
    """Why a study can never have this number, and what to do; None if it can."""
    if item.quantity == "enlarged" and enlarge_to is None:
        return "the study gives no enlarge_to, expected one; give it or remove the entry"
    if item.model in BASELINE_NAMES and item.minus == "saturation":
        return f"{item.model} is not trained, expected a model of the study; correct model or minus"
    for name in (item.model, item.minus):
        of_truth = name == "lookup" and item.quantity in ("loss", "kl")
        if name in BASELINE_NAMES and item.quantity != "accuracy" and not of_truth:
            has = "accuracy, loss and kl" if name == "lookup" else "accuracy"
            return f"{name} has no {item.quantity}, expected its {has} or a model of the study; correct the entry"
    return None


def compare(published: list[Published], wide: list[Row], rows: list[Row]) -> list[Row]:
    """Compares each published number with ours.

    Args:
        published: the numbers.
        wide: as `wide_rows` returns them.
        rows: the rows that `one_setting` selects, for the baselines.

    Returns:
        Rows with the keys source, what, quantity, task, model, minus; published, published_stderr; ours (mean over
        seeds; None if not measured), ours_stderr (see `MEANING`); difference = ours - published; n (trainings, the
        smaller number for two models, None for a baseline); seeds (all trainings of these models); method, settings,
        satlab (how and by which versions ours was measured); saturated (whether all our models were, at the end).
    """
    return [_compared(item, wide, rows) for item in published]


def _compared(item: Published, wide: list[Row], rows: list[Row]) -> Row:
    row: Row = {key: getattr(item, key) for key in ("source", "what", "quantity", "task", "model", "minus")}
    row |= {"published": item.value, "published_stderr": item.stderr}
    found = Ours(None, None, None)
    # The published probe, if both models of a difference were measured by it.
    for key in _keys(item):
        found = _by(key, item, wide, rows)
        if found.estimate is not None:
            break
    about = [one for one in wide if one["name"] in (item.model, item.minus)]
    last = last_of_each(about)
    trained = {item.model, item.minus} - {None, "saturation", *BASELINE_NAMES}
    saturated = trained <= {one["name"] for one in last} and all(one["saturated"] for one in last)
    seeds = min((one["seeds"] for one in last), default=None)
    if found.estimate is None:
        return row | dict.fromkeys(COLUMNS[4:-1]) | {"n": 0, "seeds": seeds, "saturated": saturated}
    method, settings = found.how or (None, None)
    ours = found.estimate
    row |= {"ours": ours.value, "ours_stderr": ours.stderr, "n": found.trainings, "seeds": seeds}
    row |= {"difference": ours.value - item.value, "method": method, "settings": settings}
    return row | {"satlab": ", ".join(versions_in(about, [key])), "saturated": saturated}


def _keys(item: Published) -> list[str]:
    """The keys under which a row of `wide_rows` may hold the number, in order of preference."""
    if item.quantity != "accuracy":
        return [item.quantity]
    return [f"accuracy {panel_name(str(item.task), method)}" for method in (PUBLISHED_PROBE, "linear")]


@dataclass(frozen=True)
class Ours:
    """A number of ours.

    Args:
        estimate: the number with its standard error; None if it was not measured.
        trainings: the number of trainings in the mean; None for a baseline.
        how: the method and settings of the measurement.
        apart: for a model, the estimate to use in a difference from another model; see `between_seeds`.
    """

    estimate: Estimate | None
    trainings: int | None
    how: Setting | None
    apart: Estimate | None = None


def _by(key: str, item: Published, wide: list[Row], rows: list[Row]) -> Ours:
    """The number under this key."""
    if key == "loss" and item.minus is not None and "lookup" in (item.model, item.minus):
        # The loss minus the entropy is KL, measured on the same sentences.
        key = "kl"
    one = _ours(key, item.model, wide, rows)
    if one.estimate is None or item.minus is None:
        return one
    if item.minus == "saturation":
        return _since_saturation(key, item.model, wide)
    other = _ours(key, item.minus, wide, rows)
    if other.estimate is None:
        return other
    first, second = one.estimate, other.estimate
    if one.apart is not None and other.apart is not None:
        first, second = one.apart, other.apart
    counts = [count for count in (one.trainings, other.trainings) if count is not None]
    return Ours(_difference(first, second), min(counts, default=None), one.how)


def _ours(key: str, model: str, wide: list[Row], rows: list[Row]) -> Ours:
    if model in BASELINE_NAMES:
        estimate, how = _of_baseline(key, model, wide, rows)
        return Ours(estimate, None, how)
    last = [row for row in last_of_each([row for row in wide if row["name"] == model]) if key in row]
    return Ours(over_seeds(last, key), len(last), how_of(last, key), between_seeds(last, key))


def _of_baseline(key: str, name: str, wide: list[Row], rows: list[Row]) -> tuple[Estimate | None, Setting | None]:
    if key == "kl":
        return Estimate(0.0, 0.0, 1), None
    if key == "loss":
        return next((row["floor"] for row in reversed(wide) if "floor" in row), None), how_of(wide, "floor")
    panel = key.removeprefix("accuracy ")
    row = baseline_row(rows, name, panel)
    if row is None:
        return None, None
    # The probe to which the baseline belongs.
    how = (str(row.get("beside", "linear")), setting_of(row)[1])
    return Estimate(row["value"], row["stderr"], row["n"]), how


def _since_saturation(key: str, model: str, wide: list[Row]) -> Ours:
    """The number at the last checkpoint minus that at the first saturated one, averaged over seeds that have both."""
    mine, changes = [row for row in wide if row["name"] == model], []
    for last in last_of_each(mine):
        same = [row for row in mine if row["run"] == last["run"] and row["saturated"] and key in row]
        if same and key in last and last is not same[0]:
            changes.append({"change": _difference(last[key], same[0][key])})
    return Ours(between_seeds(changes, "change"), len(changes), how_of(mine, key))


def _difference(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value - other.value, math.hypot(one.stderr, other.stderr), min(one.n, other.n))


def write_comparison(found: list[Row], folder: Path, name: str) -> list[Path]:
    """Writes published-NAME.csv and, for readers, published-NAME.md. NAME is that of the study."""
    name = file_parts([name], folder)[name] if len(os.fsencode(name)) > MOST_BYTES else name
    paths = [folder / f"published-{name}.csv", folder / f"published-{name}.md"]
    write_csv(found, list(COLUMNS), paths[0])
    lines = [f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    for row in found:
        cells = [row["source"], row["what"], number_text(row["published"], row["published_stderr"]), ours_text(row)]
        cells.append("" if row["difference"] is None else f"{row['difference']:+.4g}")
        cells.append("" if row["method"] is None else described(row["method"], row["settings"]))
        cells.append("yes" if row["saturated"] else "no")
        lines.append(f"| {' | '.join(cell_text(cell) for cell in cells)} |")
    versions = sorted({version for row in found for version in (row["satlab"] or "").split(", ") if version})
    lines += [
        "",
        MEANING,
        *([f"\nMeasured by different versions of satlab: {', '.join(versions)}."] * (len(versions) > 1)),
    ]
    write_atomic(paths[1], "\n".join(lines) + "\n")
    return paths


def ours_text(row: Row) -> str:
    """Our number in a row, with its standard error and number of trainings: "0.905 +- 0.005 (n = 2 of 3)"."""
    if row["ours"] is None:
        return "not measured"
    fewer = f" of {row['seeds']}" if row["n"] is not None and row["n"] < row["seeds"] else ""
    count = "" if row["n"] is None else f" (n = {row['n']}{fewer})"
    return number_text(row["ours"], row["ours_stderr"]) + count


def cell_text(text: str) -> str:
    """The text on one line, with each | escaped, because it would end the cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def number_text(value: float, stderr: float | None) -> str:
    """A number with its standard error, if it has one."""
    return f"{value:.4g}" if stderr is None or math.isnan(stderr) else f"{value:.4g} +- {stderr:.2g}"
