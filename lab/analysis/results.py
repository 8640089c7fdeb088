"""All rows of a study, or of single runs, as one table."""

import csv
import io
import math
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...system.disk import printable, read_lines, write_atomic
from ..file_names import CONFIG, STUDY_FILE
from ..runs.rows import IN_TABLES, RESULT, type_of, wrong_result
from ..runs.run import Run, load_run
from ..runs.trainings import distinct, rows_of_training

Row = dict[str, Any]

LANGUAGE = "language_fingerprint"
"""The key of a baseline's row that identifies its language."""

BASELINES_FILE = "baselines.jsonl"


def runs_in(folders: Iterable[Path], only: Container[str] | None = None) -> list[Run]:
    """The runs in these directories. Copies of a training count once (see lab/runs/trainings.py).

    Args:
        folders: runs or studies.
        only: names of directories; other runs of a study are left out.

    Returns:
        The runs.

    Raises:
        InputError: if a directory is neither a run nor a study.
    """
    runs = []
    for folder in folders:
        if (folder / CONFIG).is_file():
            runs.append(load_run(folder))
        elif (folder / STUDY_FILE).is_file():
            found = [path.parent for path in sorted(folder.glob(f"runs/*/{CONFIG}"))]
            runs += [load_run(path) for path in found if only is None or path.name in only]
        else:
            raise InputError(f"{folder}: neither a run nor a study, expected a directory made by satlab train or study")
    return distinct(runs)


def once_each(folders: Iterable[Path]) -> list[Path]:
    """Each directory once, under the first of its paths."""
    found: dict[Path, Path] = {}
    for folder in folders:
        found.setdefault(folder.resolve(), folder)
    return list(found.values())


def rows_in(folders: Iterable[Path]) -> list[Row]:
    """All measurements in these directories, as `rows_of` returns them."""
    folders = list(folders)
    return rows_of(folders, runs_in(folders))


def rows_of(folders: Iterable[Path], runs: list[Run]) -> list[Row]:
    """All measurements of these runs, and the baselines in their directories.

    Args:
        folders: runs or studies.
        runs: the runs in them.

    Returns:
        The rows, each with the name of its run, or None for a baseline. Baselines of languages other than those of the
        runs are left out.

    Raises:
        InputError: for a line that is not a row of results.
    """
    baselines = (read_lines(folder / BASELINES_FILE, wrong_result) for folder in once_each(folders))
    rows = [row | {"run": None} for found in baselines for row in found]
    for name, run in named(runs).items():
        rows += [row | {"run": None if row["step"] is None else name} for row in rows_of_training(run)]
    if runs and any(LANGUAGE in row for row in rows):
        known = {run.fingerprint for run in runs}
        rows = [row for row in rows if row.get(LANGUAGE) is None or row[LANGUAGE] in known]
    return [row | {"stderr": math.nan if row["stderr"] is None else row["stderr"]} for row in rows]


def named(runs: list[Run]) -> dict[str, Run]:
    """Each run under the name of its directory, or under its path if several directories have the same name."""
    names, paths = [own_name(run.folder) for run in runs], [printable(str(run.folder)) for run in runs]
    return {name if names.count(name) == 1 else path: run for name, path, run in zip(names, paths, runs, strict=True)}


def own_name(folder: Path) -> str:
    """The name of a directory, even if its path is "." or ends in "..", as printable text."""
    return printable(folder.name if folder.name not in ("", "..") else folder.resolve().name)


def write_tables(rows: list[Row], folder: Path) -> None:
    """Writes results.parquet and results.csv."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = {str: pa.string(), int: pa.int64(), float: pa.float64()}
    columns = {name: [row.get(name) for row in rows] for name in IN_TABLES}
    table = pa.table(columns, schema=pa.schema([(name, arrow[type_of(RESULT[name])]) for name in IN_TABLES]))
    content = io.BytesIO()
    pq.write_table(table, content)
    write_atomic(folder / "results.parquet", content.getvalue())
    write_csv(rows, list(IN_TABLES), folder / "results.csv")


def write_csv(rows: list[Row], columns: list[str], path: Path) -> None:
    """Writes these columns of the rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(path, text.getvalue())
