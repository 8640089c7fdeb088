"""The columns of rows of metrics and results, and the check that finds wrong lines in files edited by hand."""

import json
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_args

from ...train.metrics import MetricsRow

Row = Mapping[str, Any]

EXPECTED: dict[type, tuple[str, tuple[type, ...]]] = {
    int: ("an integer", (int,)),
    float: ("a number", (int, float)),
    str: ("a string", (str,)),
    bool: ("true or false", (bool,)),
}
"""Type of a column -> its name in messages, and the types that its values have after JSON is read."""

NATS = "nats a prediction"
"""The unit of entropies and of divergences."""


def column(unit: str = "", *, required: bool = False, in_tables: bool = True) -> Any:
    """A column of results as a field.

    Args:
        unit: unit of its values; empty for a name or a pure number.
        required: whether each row must have it. It may be null only if its type allows None.
        in_tables: whether a study's results.csv and results.parquet have it.

    Returns:
        The field.
    """
    metadata = {"unit": unit, "required": required, "in_tables": in_tables}
    return field(metadata=metadata) if required else field(metadata=metadata, default=None)


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One measurement: a line of results.jsonl or a row of a study's tables, whose columns are in this order.

    Args:
        run: directory of the run; only in a study's tables.
        model: name of the network; None for a baseline.
        parameters: number of parameters, tied ones once.
        seed: training seed.
        step: of the checkpoint; None for a baseline.
        what: the quantity.
        method: how it was measured.
        task: the task of a probe.
        block: "total", a kind of parameter, or another part that the method distinguishes.
        value: the estimate.
        stderr: its standard error; None if it is not defined, as for a single draw.
        n: number of independent draws.
        unit: of the value.
        floor: of KL, entropy of the truth over the same sentences.
        floor_stderr: its standard error.
        settings: the settings on which the value depends, as a JSON object in a string.
        seconds: time of the measurement; measurements that share work share it.
        satlab: version that measured it.
        layer: the layer that a probe read; None for the last.
        position: the position that a probe read; None for all.
        alpha: factor of a rescaling.
        language_fingerprint: SHA-256 of the language that a baseline belongs to.
        more: columns that a method adds to its own rows; they may hold any JSON value.
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
        """Makes a row from the content of a line. Columns that are not fields go into `more`.

        Args:
            row: name -> value.

        Returns:
            The row.

        Raises:
            ValueError: stating what is wrong with the row and what was expected.
        """
        if said := wrong_result(row):
            raise ValueError(said)
        known = RESULT.keys() & row.keys()
        more = MappingProxyType({name: value for name, value in row.items() if name not in known})
        return cls(**{name: row[name] for name in known}, more=more)

    def as_json(self) -> dict[str, Any]:
        """The content of a line, name -> value: required columns, other columns with a value, then `more`."""
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
"""Quantity -> further columns that its rows must have."""


def type_of(column: Field[Any]) -> type:
    """The type of a column's values other than null."""
    kinds: tuple[type, ...] = get_args(column.type) or (column.type,)
    return next(kind for kind in kinds if kind in EXPECTED)


def wrong_metrics(row: Row) -> str | None:
    """States what is wrong with a row of metrics and what was expected; None for a valid row."""
    return _wrong(row, METRICS, ())


def wrong_result(row: Row) -> str | None:
    """States what is wrong with a row of results and what was expected; None for a valid row."""
    what = row.get("what")
    needed = NEEDED.get(what.removesuffix("_enlarged"), ()) if isinstance(what, str) else ()
    found = _wrong(row, RESULT, needed)
    if found is None and not _is_mapping(row["settings"]):
        return f"settings is {_short(row['settings'])}, expected a JSON object in a string"
    return found


def _wrong(row: Row, columns: Mapping[str, Field[Any]], needed: tuple[str, ...]) -> str | None:
    required = [name for name, column in columns.items() if name in needed or column.metadata.get("required")]
    # Reports a missing column that is never null first, because it says more about the row.
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
