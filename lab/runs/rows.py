"""What a row of metrics or of results holds at least, so that a file changed by hand is refused by its line."""

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, get_args

from ...train import MetricsRow

TYPES: dict[str, tuple[str, tuple[type, ...]]] = {
    "whole": ("a whole number", (int,)),
    "number": ("a number", (int, float)),
    "text": ("a text", (str,)),
    "truth": ("true or false", (bool,)),
}

KIND_OF = {int: "whole", float: "number", str: "text", bool: "truth"}
"""A field's type -> what a file must hold there."""


def kinds_of(row_type: type, required: bool) -> dict[str, str]:
    """Field -> kind of value, of the fields of a type of row that are required, or of those that are not."""
    found = {}
    for column in fields(row_type):
        if bool(column.metadata.get("required")) == required:
            kinds = get_args(column.type) or (column.type,)
            found[column.name] = next(KIND_OF[kind] for kind in kinds if kind in KIND_OF)
    return found


METRICS, METRICS_MORE = (kinds_of(MetricsRow, required) for required in (True, False))

RESULT = {"what": "text", "method": "text", "settings": "text"}
RESULT_OR_NULL = {"step": "whole", "value": "number", "stderr": "number", "n": "whole"}
RESULT_MORE = (
    dict.fromkeys(("model", "task", "block", "unit", "satlab"), "text")
    | dict.fromkeys(("parameters", "seed", "layer", "position"), "whole")
    | dict.fromkeys(("floor", "floor_stderr", "seconds", "alpha"), "number")
)
NEEDED = {"probe": {"task": "text"}, "hessian_trace": {"block": "text"}, "rescaled_trace": {"block": "text"}}
"""What rows of a quantity have besides."""


def wrong_metrics(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row of metrics, with what was expected; None for a good one."""
    return _wrong(row, METRICS, {}, METRICS_MORE)


def wrong_result(row: Mapping[str, Any]) -> str | None:
    """What is wrong with a row of results, with what was expected; None for a good one."""
    what = row.get("what")
    needed = NEEDED.get(what.removesuffix("_enlarged"), {}) if isinstance(what, str) else {}
    found = _wrong(row, RESULT | needed, RESULT_OR_NULL, RESULT_MORE)
    if found is None and not _is_mapping(row["settings"]):
        return f"settings is {_short(row['settings'])}, expected a JSON object in a text"
    return found


def _wrong(row: Mapping[str, Any], needed: dict[str, str], null: dict[str, str], more: dict[str, str]) -> str | None:
    for name, kind in (needed | null).items():
        if name not in row:
            return f"has no key '{name}', expected {TYPES[kind][0]} there"
    for name, kind in (more | null | needed).items():
        value = row.get(name)
        if value is None and name not in needed:
            continue
        expected, types = TYPES[kind]
        if not isinstance(value, types) or (isinstance(value, bool) and kind != "truth"):
            return f"{name} is {_short(value)}, expected {expected}"
    return None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@lru_cache(maxsize=4096)
def _is_mapping(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
