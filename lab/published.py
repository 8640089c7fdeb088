"""What a study found beside what was published, number by number, and the difference."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..disk import write_atomic
from ..errors import InputError, unknown
from ..estimate import Estimate
from .config import from_mapping
from .results import write_csv
from .wide import baseline, last_of_each, over_seeds

Row = dict[str, Any]

QUANTITIES = ("loss", "kl", "accuracy", "trace", "enlarged")
BASELINE_NAMES = ("majority", "lookup", "bayes")
COLUMNS = ("source", "what", "published", "published_stderr", "ours", "ours_stderr", "n", "difference", "saturated")


@dataclass(frozen=True)
class Published:
    """A number from a paper: of a model's last checkpoint, or of the difference of two.

    Args:
        quantity: loss or kl (nats), accuracy (a share), trace or enlarged (Tr(H), alone or inside the study's enlarge_to).
        value: the number.
        source: where it stands.
        model: whose it is, a key of the study's models, or majority, lookup or bayes.
        task: which task's accuracy.
        minus: subtract that model's, or "saturation": the same model's at its first saturated checkpoint.
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


def read_published(entries: list[Any], models: Mapping[str, Any], tasks: list[str]) -> list[Published]:
    """The entries of a study. Raises InputError for an unknown key, quantity, model or task."""
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
            checks.append(("model", item.minus, (*models, "saturation")))
        if item.quantity == "accuracy":
            checks.append(("task of this study", str(item.task), tuple(tasks)))
        for kind, given, known in checks:
            if given not in known:
                raise InputError(f"{where}: {unknown(kind, given, known)}")
        found.append(item)
    return found


def compare(published: list[Published], wide: list[Row], rows: list[Row]) -> list[Row]:
    """A row a number: published, ours (mean over seeds; None where it was not measured), ours - published.

    saturated: whether all of our models that it is about were, at the end.
    """
    return [_compared(item, wide, rows) for item in published]


def _compared(item: Published, wide: list[Row], rows: list[Row]) -> Row:
    ours, saturated = _ours(item, item.model, wide, rows)
    if ours is not None and item.minus is not None:
        if item.minus == "saturation":
            ours = _since_saturation(item, wide)
        else:
            other, also = _ours(item, item.minus, wide, rows)
            saturated = saturated and also
            ours = None if other is None else _difference(ours, other)
    row: Row = {"source": item.source, "what": item.what, "published": item.value, "published_stderr": item.stderr}
    if ours is None:
        return row | {"ours": None, "ours_stderr": None, "n": 0, "difference": None, "saturated": saturated}
    values = {"ours": ours.value, "ours_stderr": ours.stderr, "n": ours.n, "difference": ours.value - item.value}
    return row | values | {"saturated": saturated}


def _ours(item: Published, model: str, wide: list[Row], rows: list[Row]) -> tuple[Estimate | None, bool]:
    if model in BASELINE_NAMES:
        return baseline(rows, model, str(item.task)), True
    last = last_of_each([row for row in wide if row["name"] == model])
    saturated = bool(last) and all(row["saturated"] for row in last)
    return over_seeds(last, _key(item)), saturated


def _since_saturation(item: Published, wide: list[Row]) -> Estimate | None:
    """The last checkpoint's number minus that of the first saturated one, mean over the seeds that have both."""
    changes = []
    for run in dict.fromkeys(row["run"] for row in wide if row["name"] == item.model):
        mine = [row for row in wide if row["run"] == run and row["saturated"] and _key(item) in row]
        if len(mine) > 1:
            changes.append({"change": _difference(mine[-1][_key(item)], mine[0][_key(item)])})
    return over_seeds(changes, "change")


def _difference(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(one.value - other.value, (one.stderr**2 + other.stderr**2) ** 0.5, min(one.n, other.n))


def _key(item: Published) -> str:
    return f"accuracy {item.task}" if item.quantity == "accuracy" else item.quantity


def write_comparison(found: list[Row], folder: Path) -> list[Path]:
    """published.csv, and published.md for people."""
    write_csv(found, list(COLUMNS), folder / "published.csv")
    lines = ["| source | what | published | ours | difference | saturated |", "|---|---|---|---|---|---|"]
    for row in found:
        theirs = _number(row["published"], row["published_stderr"])
        ours = "not measured" if row["ours"] is None else f"{_number(row['ours'], row['ours_stderr'])} (n = {row['n']})"
        difference = "" if row["difference"] is None else f"{row['difference']:+.4g}"
        saturated = "yes" if row["saturated"] else "no"
        lines.append(f"| {row['source']} | {row['what']} | {theirs} | {ours} | {difference} | {saturated} |")
    write_atomic(folder / "published.md", "\n".join(lines) + "\n")
    return [folder / "published.csv", folder / "published.md"]


def _number(value: float, stderr: float | None) -> str:
    return f"{value:.4g}" if stderr is None or math.isnan(stderr) else f"{value:.4g} +- {stderr:.2g}"
