"""Finds the rows of a measurement that a results file already holds."""

import json
from pathlib import Path
from typing import Any

from ...system.disk import read_lines
from .known_methods import is_flatness_measure, settings_used

Row = dict[str, Any]


def known_rows(file: Path, key: Row) -> list[Row]:
    """The rows of the file that agree with the key, except in flatness settings that the measure does not use."""
    return of_key(read_lines(file), key)


def of_key(rows: list[Row], key: Row) -> list[Row]:
    """The rows that agree with the key, in the sense of `known_rows`."""
    wanted = key | {"settings": of_method(key)}
    rows = [row for row in rows if row.get("what") == key["what"] and row.get("method") == key["method"]]
    return [row for row in rows if (row | {"settings": of_method(row)}).items() >= wanted.items()]


def of_method(row: Row) -> str:
    """The relevant settings of a row or key. Rows of older versions also have flatness settings that are not used."""
    settings = str(row.get("settings"))
    if not is_flatness_measure(row["method"]):
        return settings
    return json.dumps(settings_used(row["method"], json.loads(settings)), sort_keys=True)
