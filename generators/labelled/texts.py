"""Labelled texts: which columns of a table are the texts and the label, and what the classes are called."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, unknown
from .table import Table, read_table

LABELS = ("label", "labels", "class", "class index", "category", "sentiment", "gold_label")
"""What a column of labels is called, in the order in which they are looked for."""

TEXTS = (
    *(("question", "sentence"), ("sentence1", "sentence2"), ("premise", "hypothesis"), ("title", "description")),
    *(("text",), ("sentence",), ("review",), ("content",)),
)
"""What columns of texts are called: the first group that is there is read, its columns joined by a blank."""

UNLABELLED = "-1"
"""The label of a test set whose labels are kept secret."""


@dataclass(frozen=True)
class LabelledTexts:
    """Texts with their labels.

    Args:
        file: where they were read, for messages.
        texts: n texts.
        labels: the number of each text's class.
        classes: the names of the classes; label c means classes[c].
        sha256: of the file.
    """

    file: str
    texts: tuple[str, ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    sha256: str


def read_labelled(
    path: str | Path, label: str | None = None, columns: str | None = None, classes: Sequence[str] | None = None
) -> LabelledTexts:
    """Reads labelled texts, as SST-2, QNLI, AG News and others are handed around.

    Unless they are given, the columns are found by their usual names; in a file without names the label is the first
    or the last column, whichever has fewer different cells, and all others are texts.

    Args:
        path: a .tsv, .csv or .parquet file.
        label: the column of the labels, by its name or its number from 1.
        columns: the columns of the texts, separated by commas; several are joined by a blank.
        classes: names of the classes, where another file has given them; all that occur unless given.

    Returns:
        The texts, in the order of the file.

    Raises:
        InputError: for a file that cannot be read, columns that are not there, a text or label that is empty, fewer
            than two classes, and a label that is none of the given classes.
    """
    table = read_table(Path(path))
    names, first = _names(table, label)
    found = names is not None
    at = _column(table, names, label) if label is not None else _label_column(table, names)
    if columns is None:
        those = _text_columns(table, names, at) if found else [i for i in range(len(table.rows[0])) if i != at]
    else:
        those = [_column(table, names, name.strip()) for name in columns.split(",")]
    if at in those or not those:
        raise InputError(
            f"{path}: texts and label are the same column, expected different ones; correct label or columns"
        )
    rows, places = table.rows[first:], table.places[first:]
    texts = [" ".join(row[i].strip() for i in those).strip() for row in rows]
    labels = [row[at].strip() for row in rows]
    for place, text, name in zip(places, texts, labels, strict=True):
        if not text or not name or name == UNLABELLED:
            what = "text" if not text else "label"
            raise InputError(f"{path}, {place}: has no {what}, expected one in each row; leave the row out")
    known = _sorted(set(labels)) if classes is None else tuple(classes)
    for place, name in zip(places, labels, strict=True):
        if name not in known:
            raise InputError(f"{path}, {place}: label '{name:.40}', expected one of {', '.join(known)}; correct it")
    if classes is None:
        _check_classes(str(path), labels, known)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return LabelledTexts(str(path), tuple(texts), tuple(map(known.index, labels)), known, digest)


def _names(table: Table, label: str | None) -> tuple[tuple[str, ...] | None, int]:
    """(names of the columns or None, number of the first row that is a text)."""
    if table.names is not None:
        return table.names, 0
    header = [cell.strip() for cell in table.rows[0]]
    if any(cell.lower() in LABELS for cell in header) or (label in header and not str(label).isdigit()):
        if len(table.rows) < 2:
            raise InputError(
                f"{table.file}: holds only the names of the columns, expected texts below them; give another file"
            )
        return tuple(header), 1
    return None, 0


def _column(table: Table, names: tuple[str, ...] | None, name: str) -> int:
    """The place of a column that is given by its name or its number."""
    if names is not None and name in names:
        return names.index(name)
    width = len(names or table.rows[0])
    if name.isascii() and name.isdigit() and 1 <= int(name[:9]) <= width:
        return int(name) - 1
    if names is None:
        raise InputError(f"{table.file}: no column '{name:.40}', expected a number from 1 to {width}; correct it")
    raise InputError(unknown("column", f"{name:.40}", names).said, table.file)


def _label_column(table: Table, names: tuple[str, ...] | None) -> int:
    if names is not None:
        low = [name.lower() for name in names]
        for name in LABELS:
            if name in low:
                return low.index(name)
        raise InputError(
            f"{table.file}: no column is called {LABELS[0]}, expected one of {', '.join(names)} to hold the "
            "labels; name it with label"
        )
    width = len(table.rows[0])
    kinds = [len({row[i] for row in table.rows}) for i in (0, width - 1)]
    if width < 2 or kinds[0] == kinds[1]:
        raise InputError(
            f"{table.file}: cannot tell which of the {width} columns holds the labels, expected a first line "
            "with names; add one, or give the column's number as label"
        )
    return 0 if kinds[0] < kinds[1] else width - 1


def _text_columns(table: Table, names: tuple[str, ...] | None, label: int) -> list[int]:
    low = [name.lower() for name in names or ()]
    for group in TEXTS:
        if all(name in low and low.index(name) != label for name in group):
            return [low.index(name) for name in group]
    others = [i for i in range(len(low)) if i != label]
    if len(others) == 1:
        return others
    raise InputError(
        f"{table.file}: cannot tell which columns hold the text, expected one or several of "
        f"{', '.join(names or ())}; name them with columns"
    )


def _sorted(names: set[str]) -> tuple[str, ...]:
    """Classes in the order of their numbers where all are numbers, else of their names."""
    if all(name.isascii() and name.isdigit() and len(name) < 10 for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def _check_classes(file: str, labels: list[str], known: tuple[str, ...]) -> None:
    if len(known) < 2:
        raise InputError(f"{file}: every label is '{known[0]:.40}', expected two classes or more; give another file")
    for name in known:
        if labels.count(name) < 2:
            raise InputError(
                f"{file}: only one text has the label '{name:.40}', expected at least 2 of each class; leave the "
                "text out, or name the label column if the first line holds column names"
            )
