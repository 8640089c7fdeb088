"""Tables of contexts x words: in memory, or row by row in a file where they do not fit.

What is computed of a table is computed part by part, in one pass over the file: a value for each row, a sum over all
rows, or another table. A table in memory is a single part.
"""

import shutil
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from ...errors import TooLargeError
from ...probes.feature_store import PASS_BYTES, Features, FeatureStorage
from ...system.memory import as_size, machine_memory

HELD = 9
"""Tables that a theorem holds at once: p*, log p, p, the best softmax model twice, an error and what is made of it."""

FILED = 7
"""The same in files: no copies are made."""


class Stored:
    """Rows [m, width] of float64 in an unnamed file, which vanishes with the process or with the last reference.

    Args:
        count: m.
        device: where parts of it are computed with.
    """

    dtype = torch.float64

    def __init__(self, count: int, device: torch.device) -> None:
        self.count, self.device = count, device
        self.rows = Features(count, FeatureStorage(in_memory=0))

    def __len__(self) -> int:
        return self.count

    @property
    def shape(self) -> tuple[int, int]:
        """(m, width)."""
        return self.count, self.rows.width

    def append(self, part: Tensor) -> None:
        """Appends the next rows."""
        if len(part):
            self.rows.append(part.double())

    def __getitem__(self, rows: slice) -> Tensor:
        parts = [part for _, part in self.rows.in_order(rows.stop, rows.start)]
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).to(self.device)


Table = Tensor | Stored
"""[m, width]."""


def fits(contexts: int, words: int) -> bool:
    """Whether tables [contexts, words] fit into memory, as many as a theorem needs.

    Args:
        contexts: the number of rows.
        words: that of columns.

    Returns:
        False if they must be stored in files.

    Raises:
        TooLargeError: where the files do not fit either.
    """
    room, size = machine_memory(), 8 * contexts * words
    if room is None or HELD * size <= room:
        return True
    place = FeatureStorage().place
    free = shutil.disk_usage(place).free
    if FILED * size > free:
        raise TooLargeError(
            f"a table of {contexts:,} contexts x {words:,} words: needs {as_size(HELD * size)} of memory or "
            f"{as_size(FILED * size)} of disk, expected at most {as_size(room)} of memory or the {as_size(free)} that "
            f"are free in {place}; give fewer sentences, or set TMPDIR to a directory on a larger disk"
        )
    return False


def parts(*tables: Table) -> Iterator[tuple[Tensor, ...]]:
    """Yields the same rows of all tables, about 32 MB of the widest at a time; all rows at once of tables in memory."""
    widths = [table.shape[1] for table in tables if isinstance(table, Stored)]
    size = max(1, PASS_BYTES // (8 * max(widths))) if widths else max(1, len(tables[0]))
    for at in range(0, max(1, len(tables[0])), size):
        yield tuple(table[at : at + size] for table in tables)


def each(function: Callable[..., Tensor], *tables: Table) -> Tensor:
    """What a function says of each row, in memory.

    Args:
        function: of the same rows of all tables; returns as many rows or values.
        tables: [m, ...] each.

    Returns:
        [m, ...].
    """
    found = [function(*some) for some in parts(*tables)]
    return found[0] if len(found) == 1 else torch.cat(found)


def total(function: Callable[..., Tensor], *tables: Table) -> Tensor:
    """The sum of what a function says of some rows, over all rows; see `each`."""
    values = (function(*some) for some in parts(*tables))
    value = next(values)
    for other in values:
        value = value + other
    return value


def table_of(function: Callable[..., Tensor], *tables: Table, count: int | None = None) -> Table:
    """The table of what a function says of each row; stored where one of the tables is.

    Args:
        function: see `each`; float64.
        tables: [m, ...] each.
        count: how many rows it keeps; m unless given.

    Returns:
        [count, width].
    """
    stored = [table for table in tables if isinstance(table, Stored)]
    if not stored:
        return function(*tables)
    made = Stored(len(stored[0]) if count is None else count, stored[0].device)
    for some in parts(*tables):
        made.append(function(*some))
    return made


def triangle(function: Callable[..., Tensor], *tables: Table) -> Tensor:
    """R of the QR decomposition of the rows that a function makes: R^T R = A^T A, to the full precision of A.

    Args:
        function: see `each`.
        tables: [m, ...] each.

    Returns:
        [min(m, width), width].
    """
    upper: Tensor | None = None
    for some in parts(*tables):
        rows = function(*some)
        upper = torch.linalg.qr(rows if upper is None else torch.cat([upper, rows]), mode="r").R
    assert upper is not None
    return upper
