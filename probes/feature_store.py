"""Stores the features of many sentences, which are extracted once and read often, in memory or in a file."""

import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError

IN_MEMORY = 2 * 2**30
"""Bytes. Features up to this size stay in memory by default."""

PASS_BYTES = 32 * 2**20
"""Bytes. The approximate size of one part in a pass over all rows."""

MAPPED = 2**26
"""Bytes read from a file after which the process releases its mapped pages; they stay in the system's cache."""


@dataclass(frozen=True)
class FeatureStorage:
    """Where features are kept: in memory up to a size, otherwise in an unnamed file that vanishes when it is closed.

    Args:
        folder: directory of the file; the system's directory for temporary files unless given.
        in_memory: the largest size that stays in memory, bytes.

    Raises:
        InputError: for a directory that does not exist.
    """

    folder: str | None = None
    in_memory: int = IN_MEMORY

    def __post_init__(self) -> None:
        if self.folder is not None and not Path(self.folder).is_dir():
            raise InputError(f"cache {self.folder}: no such directory, expected one for features; create it first")

    @property
    def place(self) -> Path:
        """The directory of the file."""
        return Path(self.folder or tempfile.gettempdir())

    def needs_file(self, size: int) -> bool:
        """Whether features of this size go to a file.

        Args:
            size: the size of the features, bytes.

        Returns:
            False if memory holds them.

        Raises:
            InputError: if the directory has no room for the file.
        """
        if size <= self.in_memory:
            return False
        free = shutil.disk_usage(self.place).free
        if size > free:
            raise InputError(
                f"cache {self.place}: {free / 1e9:.1f} GB free, expected {size / 1e9:.1f} GB for the features; give a "
                "cache on a larger disk, fewer sentences, precision bf16 or a projection"
            )
        return True


class Features:
    """Rows [n, d] that are appended once, in order, and then read in any order, as often as needed.

    Args:
        rows: the number n of rows that will be appended.
        storage: the directory of the file that holds them; in memory unless given.
    """

    def __init__(self, rows: int, storage: FeatureStorage | None = None) -> None:
        self.count, self.width, self.dtype = rows, 0, torch.float32
        self.storage, self.filled = storage, 0
        self.memory: Tensor | None = None
        self.map: mmap.mmap | None = None
        self.seen = 0

    def append(self, part: Tensor) -> None:
        """Appends the next rows [m, d].

        Raises:
            OSError: naming the directory, if writing fails, for instance on a full disk.
        """
        if not self.filled:
            self._begin(part)
        if self.memory is not None:
            self.memory[self.filled : self.filled + len(part)] = part
        else:
            try:
                _write(self.file.fileno(), part.detach().cpu().contiguous())
            except OSError as error:
                error.filename = str(self.storage.place) if self.storage else None
                raise
        self.filled += len(part)

    def _begin(self, part: Tensor) -> None:
        self.width, self.dtype = part.shape[1], part.dtype
        if self.storage is None:
            self.memory = part.new_empty(self.count, self.width)
        else:
            self.file = tempfile.TemporaryFile(dir=self.storage.place, buffering=0)  # noqa: SIM115

    def batches(self, order: Tensor, size: int) -> Iterator[Tensor]:
        """Reads rows in a given order.

        Args:
            order: row numbers [m].
            size: rows per batch.

        Yields:
            The rows order[0 : size], order[size : 2 size], ..., each [size, d]; the last batch may be shorter. Batches
            from a file share one buffer: each overwrites the one before it.
        """
        parts = torch.split(order, size)
        if self.memory is not None:
            for part in parts:
                yield self.memory[part.to(self.memory.device)]
            return
        rows, buffer = self._mapped(), torch.empty(min(size, len(order)), self.width, dtype=self.dtype)
        for number, part in enumerate(parts):
            batch = torch.index_select(rows, 0, part, out=buffer[: len(part)])
            if number + 1 < len(parts):
                self._announce(parts[number + 1])
            self._release(batch)
            yield batch

    def in_order(self, stop: int | None = None, start: int = 0) -> Iterator[tuple[slice, Tensor]]:
        """Reads the rows from `start` to before `stop` in order. Callers must not change them.

        Args:
            stop: one after the last row; by default the number of rows.
            start: the first row.

        Yields:
            The slice and the rows [m, d] of each part of about 32 MB.
        """
        stop = self.count if stop is None else stop
        size = max(1, PASS_BYTES // (self.width * self.dtype.itemsize))
        all_rows = self._mapped() if self.memory is None else self.memory
        for at in range(start, stop, size):
            rows = slice(at, min(at + size, stop))
            yield rows, all_rows[rows]
            self._release(all_rows[rows])

    def _mapped(self) -> Tensor:
        """The file as a tensor [n, d]; the system loads its pages on demand and drops them as needed."""
        if self.map is None:
            self.map = mmap.mmap(self.file.fileno(), 0)
        return torch.frombuffer(self.map, dtype=self.dtype).view(self.count, self.width)

    def _announce(self, rows: Tensor) -> None:
        """Asks the system to read these rows of the file in advance, in the background."""
        if hasattr(os, "posix_fadvise"):
            row_bytes = self.width * self.dtype.itemsize
            for row in rows.tolist():
                os.posix_fadvise(self.file.fileno(), row * row_bytes, row_bytes, os.POSIX_FADV_WILLNEED)

    def _release(self, part: Tensor) -> None:
        """Counts the bytes read and, every MAPPED bytes, releases all pages to limit the process's memory."""
        self.seen += part.numel() * part.element_size()
        if self.map is not None and self.seen > MAPPED and hasattr(mmap, "MADV_DONTNEED"):
            self.map.madvise(mmap.MADV_DONTNEED)
            self.seen = 0


def _bytes_of(rows: Tensor) -> memoryview:
    """The memory of a contiguous tensor on the CPU."""
    return rows.view(torch.uint8).numpy().data.cast("B")


def _write(file: int, part: Tensor) -> None:
    left = _bytes_of(part)
    while left:
        left = left[os.write(file, left) :]
