"""All rows of a study, or of single runs, as one table."""

import csv
import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ...errors import InputError
from ...system.disk import printable, publish, read_lines, write_atomic
from ..runs.rows import wrong_result
from ..runs.run import CONFIG, Run, load_run

Row = dict[str, Any]

LANGUAGE = "language_fingerprint"
"""Of a baseline: the key that says of which language it is."""

BASELINES_FILE, STUDY_FILE = "baselines.jsonl", "study.yaml"

COLUMNS: dict[str, pa.DataType] = {
    "run": pa.string(),
    "model": pa.string(),
    "parameters": pa.int64(),
    "seed": pa.int64(),
    "step": pa.int64(),
    "what": pa.string(),
    "method": pa.string(),
    "task": pa.string(),
    "block": pa.string(),
    "value": pa.float64(),
    "stderr": pa.float64(),
    "n": pa.int64(),
    "unit": pa.string(),
    "floor": pa.float64(),
    "floor_stderr": pa.float64(),
    "settings": pa.string(),
    "seconds": pa.float64(),
    "satlab": pa.string(),
    "layer": pa.int64(),
    "position": pa.int64(),
}


def runs_in(folders: Iterable[Path]) -> list[Run]:
    """The runs in these directories, each a run or a study. Raises InputError where one is neither."""
    runs = []
    for folder in folders:
        if (folder / CONFIG).is_file():
            runs.append(load_run(folder))
        elif (folder / STUDY_FILE).is_file():
            runs += [load_run(path.parent) for path in sorted(folder.glob(f"runs/*/{CONFIG}"))]
        else:
            raise InputError(f"{folder}: neither a run nor a study, expected a directory made by satlab train or study")
    return runs


def rows_in(folders: Iterable[Path]) -> list[Row]:
    """Every measurement in these directories, with the name of its run; a language's rows have none.

    Rows that say they are of another language than the runs are left out. Raises InputError for a row that is none.
    """
    folders = list(folders)
    rows = [row | {"run": None} for folder in folders for row in read_lines(folder / BASELINES_FILE, wrong_result)]
    runs = runs_in(folders)
    for name, run in named(runs).items():
        rows += [row | {"run": None if row["step"] is None else name} for row in run.results]
    if runs and any(LANGUAGE in row for row in rows):
        known = {run.language.fingerprint() for run in runs}
        rows = [row for row in rows if row.get(LANGUAGE) is None or row[LANGUAGE] in known]
    return [row | {"stderr": math.nan if row["stderr"] is None else row["stderr"]} for row in rows]


def named(runs: list[Run]) -> dict[str, Run]:
    """Each run under its directory's name, or under its path where several directories have the same name."""
    names = [run.folder.name for run in runs]
    return {
        printable(str(run.folder) if names.count(name) > 1 else name): run
        for name, run in zip(names, runs, strict=True)
    }


def write_tables(rows: list[Row], folder: Path) -> None:
    """Writes results.parquet and results.csv."""
    columns = {name: [row.get(name) for row in rows] for name in COLUMNS}
    table = pa.table(columns, schema=pa.schema(list(COLUMNS.items())))
    partial = folder / ".results.parquet.partial"
    pq.write_table(table, partial)
    publish(partial, folder / "results.parquet")
    write_csv(rows, list(COLUMNS), folder / "results.csv")


def write_csv(rows: list[Row], columns: list[str], path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
