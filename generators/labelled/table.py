"""Tables of texts: TSV, CSV and Parquet files, read whole."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...system.replaceable import check_readable

SUFFIXES = (".tsv", ".csv", ".parquet")

EXPECTED = f"expected a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file of labelled texts"

LONGEST_CELL = 2**24
"""Characters of a cell: more is a quotation mark that nothing closes."""


@dataclass(frozen=True)
class Table:
    """A file's cells.

    Args:
        file: its path, for messages.
        names: of the columns; None where the file may name none.
        rows: the cells as texts.
        places: where each row stands, such as "line 3".
    """

    file: str
    names: tuple[str, ...] | None
    rows: list[list[str]]
    places: list[str]


def read_table(path: Path) -> Table:
    """Reads a table. Whether the first line of a TSV or CSV file names the columns is left open.

    TSV files are read as GLUE's are: a tab ends a cell, quotation marks are characters like others. CSV files quote
    cells that hold commas.

    Args:
        path: of the file; its suffix says what it is.

    Returns:
        The table.

    Raises:
        InputError: for a file that is missing, of another kind, damaged or empty, and for a row with more or fewer
            cells than the first one.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: unknown kind of file, {EXPECTED}; convert it")
    check_readable(path, f"a {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]} file of labelled texts")
    if not path.is_file():
        raise InputError(f"{path}: no such file, {EXPECTED}; check the path")
    table = _parquet(path) if path.suffix.lower() == ".parquet" else _lines(path)
    if not table.rows:
        raise InputError(f"{path}: holds no row, {EXPECTED}; give another file")
    width = len(table.names or table.rows[0])
    for row, place in zip(table.rows, table.places, strict=True):
        if len(row) != width:
            raise InputError(
                f"{path}, {place}: {len(row)} cells, expected {width} as in the first row; correct the row"
            )
    return table


def _lines(path: Path) -> Table:
    rows: list[list[str]] = []
    places: list[str] = []
    reader = iter(_tabbed(path) if path.suffix.lower() == ".tsv" else _quoted(path))
    while True:
        try:
            number, cells = next(reader)
        except StopIteration:
            return Table(str(path), None, rows, places)
        except UnicodeDecodeError as error:
            raise InputError(f"{path}: not UTF-8 text ({error.reason}), {EXPECTED}; convert it") from None
        if any(cell.strip() for cell in cells):
            rows.append(cells)
            places.append(f"line {number}")


def _tabbed(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each line."""
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            yield number, line.rstrip("\n").split("\t")


def _quoted(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of each row; a row with quoted line ends is named by its last line."""
    before = csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: not a row of a CSV file ({error}); correct its quotation marks"
        ) from None
    finally:
        csv.field_size_limit(before)


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # A file alone: its name is no directory to search, and says nothing of columns.
        with path.open("rb") as file:
            found = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path}: not a Parquet file ({str(error).splitlines()[0][:150]}); write it again") from None
    kept = [name for name in found.column_names if _is_plain(found.schema.field(name).type)]
    columns = []
    for name in kept:
        values = found.column(found.column_names.index(name)).to_pylist()
        columns.append(["" if value is None else str(value) for value in values])
    rows = [list(row) for row in zip(*columns, strict=True)]
    return Table(str(path), tuple(kept), rows, [f"row {number}" for number in range(1, len(rows) + 1)])


def _is_plain(kind: object) -> bool:
    """Whether a column holds texts, integers or truth values."""
    from pyarrow import types

    value = getattr(kind, "value_type", kind) if types.is_dictionary(kind) else kind
    tests = (types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_boolean)
    return any(test(value) for test in tests)
