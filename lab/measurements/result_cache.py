"""Rows that a results file already holds of a measurement."""

import json
from pathlib import Path
from typing import Any

from ...flatness import flatness_measures
from ...system.disk import read_lines
from .flatness_config import settings_used

Row = dict[str, Any]


def known_rows(file: Path, key: Row) -> list[Row]:
    """The rows of the file that agree with the key in all that it names, of flatness settings those the method uses."""
    return of_key(read_lines(file), key)


def of_key(rows: list[Row], key: Row) -> list[Row]:
    """Those of the rows that agree with the key, as `known_rows` gives them of a file."""
    wanted = key | {"settings": of_method(key)}
    rows = [row for row in rows if row.get("what") == key["what"] and row.get("method") == key["method"]]
    return [row for row in rows if (row | {"settings": of_method(row)}).items() >= wanted.items()]


def of_method(row: Row) -> str:
    """The settings of a row or key, of flatness those its method's value depends on: older rows name all there were."""
    settings = str(row.get("settings"))
    if row["method"] not in flatness_measures:
        return settings
    return json.dumps(settings_used(row["method"], json.loads(settings)), sort_keys=True)
