"""Storage of a corpus's shards: one file per shard in format parquet, one file for all shards in format bin."""

import os
from pathlib import Path
from typing import Protocol, TypedDict

from typing_extensions import override

from ...system.disk import publish, write_atomic

LANGUAGE_FILES = ("language.yaml", "language.npz")
"""The possible names of the language's file in a corpus's directory."""


class Entry(TypedDict):
    """The manifest's entry for a shard.

    Args:
        file: the name of its file.
        rows: its number of sentences.
        bytes: its number of bytes.
        sha256: the SHA-256 of these bytes.
    """

    file: str
    rows: int
    bytes: int
    sha256: str


class Storage(Protocol):
    """The contents of the shards in one directory."""

    def file(self, number: int) -> str:
        """The name of the file that holds a shard."""

    def place(self, number: int) -> Path:
        """The path from which a shard is currently read."""

    def read(self, number: int) -> bytes | None:
        """The content of a shard on disk, damaged or not; None if its file is missing."""

    def begin(self) -> None:
        """Prepares to write the first shard, which may replace an existing one."""

    def write(self, number: int, content: bytes) -> None:
        """Writes a shard and returns when it is on the disk. Every earlier shard must exist or have an entry."""

    def finish(self) -> None:
        """Gives the shards their final names, after all of them are written."""


class ShardFiles(Storage):
    """shard-00000.parquet, shard-00001.parquet, ...: each is complete or missing."""

    def __init__(self, folder: Path, shards: list[Entry]) -> None:
        self.folder = folder

    @override
    def file(self, number: int) -> str:
        return f"shard-{number:05d}.parquet"

    @override
    def place(self, number: int) -> Path:
        return self.folder / self.file(number)

    @override
    def read(self, number: int) -> bytes | None:
        path = self.place(number)
        return path.read_bytes() if path.exists() else None

    @override
    def begin(self) -> None:
        """Does nothing: writing a shard replaces its file."""

    @override
    def write(self, number: int, content: bytes) -> None:
        write_atomic(self.place(number), content)

    @override
    def finish(self) -> None:
        """Does nothing: each shard has had its final name from the start."""


class TokenFile(Storage):
    """train.bin, which contains all shards one after another. It has a hidden name until the last shard is written."""

    NAME = "train.bin"
    UNFINISHED = ".train.bin.unfinished"

    def __init__(self, folder: Path, shards: list[Entry]) -> None:
        self.folder, self.shards = folder, shards

    @property
    def path(self) -> Path:
        """The current path of the file."""
        whole = self.folder / self.NAME
        return whole if whole.exists() else self.folder / self.UNFINISHED

    @override
    def file(self, number: int) -> str:
        return self.NAME

    @override
    def place(self, number: int) -> Path:
        return self.path

    def _begin(self, number: int) -> int:
        return sum(entry["bytes"] for entry in self.shards[:number])

    @override
    def read(self, number: int) -> bytes | None:
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            file.seek(self._begin(number))
            # Bytes after the last shard are damage. Reading them with that shard makes its SHA-256 differ.
            last = number == len(self.shards) - 1 and self.path.name == self.NAME
            return file.read() if last else file.read(self.shards[number]["bytes"])

    @override
    def begin(self) -> None:
        if (self.folder / self.NAME).exists():
            publish(self.folder / self.NAME, self.folder / self.UNFINISHED)

    @override
    def write(self, number: int, content: bytes) -> None:
        begin, rest = self._begin(number), memoryview(content)
        with open(self.path, "r+b" if self.path.exists() else "w+b", buffering=0) as file:
            file.seek(begin)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
                if number >= len(self.shards) - 1:
                    file.truncate()
                os.fsync(file.fileno())
            except OSError as error:
                if number == len(self.shards):
                    file.truncate(begin)
                error.filename = str(self.folder / self.NAME)
                raise

    @override
    def finish(self) -> None:
        if self.path.name == self.UNFINISHED:
            publish(self.path, self.folder / self.NAME)


STORAGE: dict[str, type[ShardFiles] | type[TokenFile]] = {"parquet": ShardFiles, "bin": TokenFile}
