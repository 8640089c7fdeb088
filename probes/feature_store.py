"""Features of many sentences, taken once and read often: in memory, or in a file where they are too many."""

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
"""Bytes of features up to which they stay in memory, unless told otherwise."""

PASS_BYTES = 32 * 2**20
"""About what a part of a pass in order holds."""

MAPPED = 2**26
"""Bytes that are read of a file after which the process lets go of its pages; they stay in the system's cache."""


@dataclass(frozen=True)
class Storage:
    """Where features are kept: in memory up to so many bytes, beyond that in a nameless file of the directory.

    folder: the system's directory for temporary files unless given. Such a file is gone when nobody reads it any more.
    """

    folder: str | None = None
    in_memory: int = IN_MEMORY

    def __post_init__(self) -> None:
        if self.folder is not None and not Path(self.folder).is_dir():
            raise InputError(f"cache {self.folder}: no such directory, expected one for features; make it first")

    @property
    def place(self) -> Path:
        return Path(self.folder or tempfile.gettempdir())

    def check(self, size: int) -> bool:
        """Whether features of so many bytes need a file. Raises InputError where the directory has no room for it."""
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
    """Rows [n, d] that are appended once, in their order, and then read in any order, again and again."""

    def __init__(self, rows: int, storage: Storage | None = None) -> None:
        """rows n: how many will come. Without a storage they stay in memory."""
        self.count, self.width, self.dtype = rows, 0, torch.float32
        self.storage, self.filled = storage, 0
        self.memory: Tensor | None = None
        self.map: mmap.mmap | None = None
        self.seen = 0

    def append(self, part: Tensor) -> None:
        """The next rows [m, d]. Raises OSError, naming the directory, where the disk is full."""
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
        """The rows order[0 : size], order[size : 2 size] ..., each [m, d]; the last may be shorter.

        Of a file, a batch is overwritten when the next one is asked for.
        """
        parts = order.split(size)
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
        """The rows from start to stop in parts of about 32 MB, each with the slice it is of. They are not to be changed."""
        stop = self.count if stop is None else stop
        size = max(1, PASS_BYTES // (self.width * self.dtype.itemsize))
        all_rows = self._mapped() if self.memory is None else self.memory
        for at in range(start, stop, size):
            rows = slice(at, min(at + size, stop))
            yield rows, all_rows[rows]
            self._release(all_rows[rows])

    def _mapped(self) -> Tensor:
        """The file as a tensor [n, d]: its pages come when they are read and go when memory is short."""
        if self.map is None:
            self.map = mmap.mmap(self.file.fileno(), 0)
        return torch.frombuffer(self.map, dtype=self.dtype).view(self.count, self.width)

    def _announce(self, rows: Tensor) -> None:
        """Asks the system to read these rows of the file ahead, while something else is done."""
        if hasattr(os, "posix_fadvise"):
            row_bytes = self.width * self.dtype.itemsize
            for row in rows.tolist():
                os.posix_fadvise(self.file.fileno(), row * row_bytes, row_bytes, os.POSIX_FADV_WILLNEED)

    def _release(self, part: Tensor) -> None:
        """Gives the pages that were read back to the system's cache, from time to time, so that the process stays small."""
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
