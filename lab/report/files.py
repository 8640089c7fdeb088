"""Links from a report to the files of its runs and studies, and their comparisons with published numbers."""

import csv
import math
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...errors import InputError
from ...system.disk import printable
from ..analysis.results import BASELINES_FILE
from ..file_names import STUDY_FILE

Row = dict[str, Any]

STUDY_FILES = (STUDY_FILE, "results.csv", "results.parquet", BASELINES_FILE)
DRAWN = (".png", ".pdf", ".csv", ".md")

NUMBERS = ("published", "published_stderr", "ours", "ours_stderr", "difference")
WORDS = ("source", "what", "method", "satlab")


def link(path: Path, page: Path) -> str:
    """The address of a file or directory relative to the page, so that both can move together."""
    relative = Path(os.path.relpath(path.resolve(), page.resolve().parent)).as_posix()
    return quote(relative + ("/" if path.is_dir() else ""), errors="surrogateescape")


def files_of(folders: list[Path], page: Path) -> list[Row]:
    """The tables and figures in these directories.

    Args:
        folders: runs or studies.
        page: the report's file, to which addresses are relative.

    Returns:
        Rows with a name and an address. With several directories, a name begins with that of its directory, or with the
        path of the directory if two have the same name.
    """
    found = []
    for folder in folders:
        names = [other.resolve().name for other in folders]
        own = folder.resolve().name
        before = "" if len(folders) == 1 else printable(f"{own if names.count(own) == 1 else folder}/")
        drawn = [path for path in sorted((folder / "figures").glob("*.*")) if path.suffix in DRAWN]
        paths = [path for path in [*(folder / name for name in STUDY_FILES), *drawn] if path.is_file()]
        found += [{"name": before + path.relative_to(folder).as_posix(), "link": link(path, page)} for path in paths]
    return found


def published_in(folders: list[Path], page: Path) -> list[Row]:
    """The rows of all published-STUDY.csv in these directories, which their studies wrote last.

    Args:
        folders: runs or studies.
        page: the report's file, to which links are relative.

    Returns:
        Rows with the keys study, link (to the file for people), source, what, published, published_stderr, ours,
        ours_stderr, difference, n (trainings), seeds, method, satlab, saturated.

    Raises:
        InputError: for a file that is not such a table.
    """
    rows = []
    for folder in folders:
        files = sorted((folder / "figures").glob("published-*.csv"))
        for file in files or sorted((folder / "figures").glob("published.csv")):
            text = file.with_suffix(".md")
            about = {
                "study": file.stem.removeprefix("published-"),
                "link": link(text if text.is_file() else file, page),
            }
            rows += [about | row for row in _rows(file)]
    return rows


def _rows(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        reader = csv.DictReader(lines)
        try:
            return [_row(row) for row in reader]
        except (KeyError, ValueError, TypeError, AttributeError, csv.Error):
            said = "is no comparison, expected what satlab study wrote; run the study again"
            raise InputError(f"{file}, line {reader.line_num}: {said}") from None


def _row(row: dict[str, str]) -> Row:
    found: Row = {key: row.get(key) or None for key in WORDS}
    found |= {key: float(row[key]) if row[key] else None for key in NUMBERS}
    found |= {key: int(row[key]) if row.get(key) else None for key in ("n", "seeds")}
    if found["published"] is None or not math.isfinite(found["published"]):
        raise ValueError("no published number")
    return found | {"saturated": row["saturated"] == "True"}
