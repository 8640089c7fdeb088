"""What a row of metrics or of results holds, so that a file changed by hand is refused by its line."""

import json
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_args

from ...train.metrics import MetricsRow

Row = Mapping[str, Any]

EXPECTED: dict[type, tuple[str, tuple[type, ...]]] = {
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a text", (str,)),
    bool: ("true or false", (bool,)),
}
"""A column's type -> what a message calls it, and the types of its values once JSON is read."""

NATS = "nats a prediction"
"""The unit of entropies and of divergences."""


def column(unit: str = "", *, required: bool = False, in_tables: bool = True) -> Any:
    """A column of results as a field.

    Args:
        unit: of its values; empty for a name or a pure number.
        required: whether each row must have it; null is a value only where the type says so.
        in_tables: whether a study's results.csv and results.parquet have it.

    Returns:
        The field.
    """
    metadata = {"unit": unit, "required": required, "in_tables": in_tables}
    return field(metadata=metadata) if required else field(metadata=metadata, default=None)


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One measurement, as a line of results.jsonl or of a study's tables, whose columns have this order.

    Args:
        run: directory of the run; in a study's tables alone.
        model: name of the network; None for a baseline.
        parameters: number of parameters, tied ones once.
        seed: training seed.
        step: of the checkpoint; None for a baseline.
        what: the quantity.
        method: how it was measured.
        task: the task of a probe.
        block: "total", a kind of parameter, or what else the method tells apart.
        value: the estimate.
        stderr: its standard error; None where a single draw has none.
        n: independent draws behind it.
        unit: of the value.
        floor: of KL, entropy of the truth over the same sentences.
        floor_stderr: its standard error.
        settings: what the value depends on, as a JSON object in a text.
        seconds: time of the measurement; measurements that share work share it.
        satlab: version that measured it.
        layer: the layer that a probe read; None for the last.
        position: the position that a probe read; None for all.
        alpha: factor of a rescaling.
        language_fingerprint: SHA-256 of the language that a baseline belongs to.
        more: columns that a method adds to its own rows; they may hold anything that JSON can.
    """

    run: str | None = column()
    model: str | None = column()
    parameters: int | None = column()
    seed: int | None = column()
    step: int | None = column("steps", required=True)
    what: str = column(required=True)
    method: str = column(required=True)
    task: str | None = column()
    block: str | None = column()
    value: float | None = column("`unit`", required=True)
    stderr: float | None = column("`unit`", required=True)
    n: int | None = column(required=True)
    unit: str | None = column()
    floor: float | None = column(NATS)
    floor_stderr: float | None = column(NATS)
    settings: str = column(required=True)
    seconds: float | None = column("s")
    satlab: str | None = column()
    layer: int | None = column()
    position: int | None = column()
    alpha: float | None = column(in_tables=False)
    language_fingerprint: str | None = column(in_tables=False)
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @classmethod
    def from_json(cls, row: Row) -> "ResultRow":
        """The row that a line holds; columns that are no field go into `more`.

        Args:
            row: name -> value.

        Returns:
            The row.

        Raises:
            ValueError: what is wrong with the row, with what was expected.
        """
        if said := wrong_result(row):
            raise ValueError(said)
        known = RESULT.keys() & row.keys()
        more = MappingProxyType({name: value for name, value in row.items() if name not in known})
        return cls(**{name: row[name] for name in known}, more=more)

    def as_json(self) -> dict[str, Any]:
        """name -> value, as a line holds it: required columns, others that have a value, then `more`."""
        given = {name: getattr(self, name) for name in RESULT}
        kept = {name: value for name, value in given.items() if value is not None or RESULT[name].metadata["required"]}
        return kept | dict(self.more)


METRICS: dict[str, Field[Any]] = {each.name: each for each in fields(MetricsRow)}
"""The columns of metrics.jsonl by name."""

RESULT: dict[str, Field[Any]] = {each.name: each for each in fields(ResultRow) if each.name != "more"}
"""The columns of results by name, in the order of the tables."""

IN_TABLES = tuple(name for name, each in RESULT.items() if each.metadata["in_tables"])
"""The columns of results.csv and results.parquet."""

NEEDED = {"probe": ("task",), "hessian_trace": ("block",), "rescaled_trace": ("block",)}
"""Columns that rows of a quantity must have besides."""


def type_of(column: Field[Any]) -> type:
    """The type of a column's values, null aside."""
    kinds: tuple[type, ...] = get_args(column.type) or (column.type,)
    return next(kind for kind in kinds if kind in EXPECTED)


def wrong_metrics(row: Row) -> str | None:
    """What is wrong with a row of metrics, with what was expected; None for a good one."""
    return _wrong(row, METRICS, ())


def wrong_result(row: Row) -> str | None:
    """What is wrong with a row of results, with what was expected; None for a good one."""
    what = row.get("what")
    needed = NEEDED.get(what.removesuffix("_enlarged"), ()) if isinstance(what, str) else ()
    found = _wrong(row, RESULT, needed)
    if found is None and not _is_mapping(row["settings"]):
        return f"settings is {_short(row['settings'])}, expected a JSON object in a text"
    return found


def _wrong(row: Row, columns: Mapping[str, Field[Any]], needed: tuple[str, ...]) -> str | None:
    required = [name for name, column in columns.items() if name in needed or column.metadata.get("required")]
    # What is never null tells more of what a row is.
    for name in sorted(required, key=lambda name: _may_be_null(columns[name])):
        if name not in row:
            return f"has no key '{name}', expected {EXPECTED[type_of(columns[name])][0]} there"
    for name, column in columns.items():
        value = row.get(name)
        if value is None and name not in needed and (name not in required or _may_be_null(column)):
            continue
        expected, types = EXPECTED[type_of(column)]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            return f"{name} is {_short(value)}, expected {expected}"
    return None


def _may_be_null(column: Field[Any]) -> bool:
    return type(None) in get_args(column.type)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@lru_cache(maxsize=4096)
def _is_mapping(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
