"""What a study found beside what was published, number by number, and the difference.

Accuracy is by the published probe, linear-adamw, where that was measured, else by linear; each row says by which.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..disk import write_atomic
from ..errors import InputError, unknown
from ..estimate import Estimate
from .choice import Setting, described, panel_name, setting_of
from .config import from_mapping
from .results import write_csv
from .wide import baseline_row, how_of, last_of_each, over_seeds

Row = dict[str, Any]

QUANTITIES = ("loss", "kl", "accuracy", "trace", "enlarged")
BASELINE_NAMES = ("majority", "lookup", "bayes")
PUBLISHED_PROBE = "linear-adamw"
COLUMNS = (
    *(
        "source",
        "what",
        "published",
        "published_stderr",
        "ours",
        "ours_stderr",
        "n",
        "difference",
        "method",
        "settings",
    ),
    "saturated",
)


@dataclass(frozen=True)
class Published:
    """A number from a paper: of a model's last checkpoint, or of the difference of two.

    Args:
        quantity: loss or kl (nats), accuracy (a share), trace or enlarged (Tr(H), alone or inside the study's enlarge_to).
        value: the number.
        source: where it stands.
        model: whose it is, a key of the study's models; of accuracy also majority, lookup or bayes, of loss and kl lookup:
            the truth itself, whose loss is its entropy.
        task: which task's accuracy.
        minus: subtract that model's (or baseline's), or "saturation": the same model's at its first saturated checkpoint.
        stderr: the spread that is printed with it.
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
        subtracted = "" if self.minus is None else f" minus {self.minus}"
        return f"{self.quantity}{'' if self.task is None else ' ' + self.task}, {self.model}{subtracted}"


def read_published(
    entries: list[Any], models: Mapping[str, Any], tasks: list[str], enlarge_to: str | None = None
) -> list[Published]:
    """The entries of a study. Raises InputError for an unknown key, quantity, model or task, and for what it never measures."""
    found = []
    for number, entry in enumerate(entries, start=1):
        where = f"study, published {number}"
        if not isinstance(entry, Mapping):
            expected = ", ".join(field.name for field in fields(Published))
            raise InputError(f"{where}: is '{entry}', expected a mapping with keys of {expected}; correct it")
        item = from_mapping(Published, entry, where)
        checks: list[tuple[str, str, tuple[str, ...]]] = [("quantity", item.quantity, QUANTITIES)]
        checks.append(("model", item.model, (*models, *BASELINE_NAMES)))
        if item.minus is not None:
            checks.append(("model", item.minus, (*models, *BASELINE_NAMES, "saturation")))
        if item.quantity == "accuracy":
            checks.append(("task of this study", str(item.task), tuple(tasks)))
        for kind, given, known in checks:
            if given not in known:
                raise InputError(f"{where}: {unknown(kind, given, known)}")
        if never := _never(item, enlarge_to):
            raise InputError(f"{where}: {item.what}: {never}")
        found.append(item)
    return found


def _never(item: Published, enlarge_to: str | None) -> str | None:
    """Why a study never has this number, and what to do; None where it may have it."""
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
    """A row a number: published, ours (mean over seeds; None where it was not measured), ours - published.

    method, settings: how ours was measured. saturated: whether all of our models that it is about were, at the end.
    """
    return [_compared(item, wide, rows) for item in published]


def _compared(item: Published, wide: list[Row], rows: list[Row]) -> Row:
    row: Row = {"source": item.source, "what": item.what, "published": item.value, "published_stderr": item.stderr}
    ours, saturated, how = None, True, None
    # The published probe where it was measured, of both models of a difference.
    for key in _keys(item):
        ours, saturated, how = _by(key, item, wide, rows)
        if ours is not None:
            break
    method, settings = how if ours is not None and how is not None else (None, None)
    row |= {"method": method, "settings": settings}
    if ours is None:
        return row | {"ours": None, "ours_stderr": None, "n": 0, "difference": None, "saturated": saturated}
    values = {"ours": ours.value, "ours_stderr": ours.stderr, "n": ours.n, "difference": ours.value - item.value}
    return row | values | {"saturated": saturated}


def _keys(item: Published) -> list[str]:
    """Where a row of `wide_rows` may have the number; the first that has it counts."""
    if item.quantity != "accuracy":
        return [item.quantity]
    return [f"accuracy {panel_name(str(item.task), method)}" for method in (PUBLISHED_PROBE, "linear")]


def _by(key: str, item: Published, wide: list[Row], rows: list[Row]) -> tuple[Estimate | None, bool, Setting | None]:
    """The number that stands under this key, whether its models are saturated, and how it was measured."""
    ours, saturated, how = _ours(key, item.model, wide, rows)
    if ours is not None and item.minus == "saturation":
        ours = _since_saturation(key, item.model, wide)
    elif ours is not None and item.minus is not None:
        other, also, _ = _ours(key, item.minus, wide, rows)
        saturated = saturated and also
        ours = None if other is None else _difference(ours, other)
    return ours, saturated, how


def _ours(key: str, model: str, wide: list[Row], rows: list[Row]) -> tuple[Estimate | None, bool, Setting | None]:
    if model in BASELINE_NAMES:
        ours, how = _of_baseline(key, model, wide, rows)
        return ours, True, how
    last = last_of_each([row for row in wide if row["name"] == model])
    saturated = bool(last) and all(row["saturated"] for row in last)
    return over_seeds(last, key), saturated, how_of(last, key)


def _of_baseline(key: str, name: str, wide: list[Row], rows: list[Row]) -> tuple[Estimate | None, Setting | None]:
    if key == "kl":
        return Estimate(0.0, 0.0, 1), None
    if key == "loss":
        return next((row["floor"] for row in reversed(wide) if "floor" in row), None), how_of(wide, "floor")
    panel = key.removeprefix("accuracy ")
    row = baseline_row(rows, name, panel)
    if row is None:
        return None, None
    # Beside which probe it stands.
    how = (str(row.get("beside", "linear")), setting_of(row)[1])
    return Estimate(row["value"], row["stderr"], row["n"]), how


def _since_saturation(key: str, model: str, wide: list[Row]) -> Estimate | None:
    """The last checkpoint's number minus that of the first saturated one, mean over the seeds that have both."""
    changes = []
    for run in dict.fromkeys(row["run"] for row in wide if row["name"] == model):
        mine = [row for row in wide if row["run"] == run and row["saturated"] and key in row]
        if len(mine) > 1:
            changes.append({"change": _difference(mine[-1][key], mine[0][key])})
    return over_seeds(changes, "change")


def _difference(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value - other.value, (one.stderr**2 + other.stderr**2) ** 0.5, min(one.n, other.n))


def write_comparison(found: list[Row], folder: Path) -> list[Path]:
    """published.csv, and published.md for people."""
    write_csv(found, list(COLUMNS), folder / "published.csv")
    heads = ("source", "what", "published", "ours", "difference", "measured by", "saturated")
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in found:
        ours = "not measured" if row["ours"] is None else f"{_number(row['ours'], row['ours_stderr'])} (n = {row['n']})"
        cells = [row["source"], row["what"], _number(row["published"], row["published_stderr"]), ours]
        cells.append("" if row["difference"] is None else f"{row['difference']:+.4g}")
        cells.append("" if row["method"] is None else described(row["method"], row["settings"]))
        cells.append("yes" if row["saturated"] else "no")
        lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    write_atomic(folder / "published.md", "\n".join(lines) + "\n")
    return [folder / "published.csv", folder / "published.md"]


def _cell(text: str) -> str:
    """One line in which no | ends the cell."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|")


def _number(value: float, stderr: float | None) -> str:
    return f"{value:.4g}" if stderr is None or math.isnan(stderr) else f"{value:.4g} +- {stderr:.2g}"
