"""Where the shards of a corpus lie: format parquet in a file each, format bin end to end in one file."""

import os
from pathlib import Path
from typing import Protocol, TypedDict

from ...system.disk import publish, write_atomic

LANGUAGE_FILES = ("language.yaml", "language.npz")
"""What a language is called in the directory of a corpus."""


class Entry(TypedDict):
    """What the manifest says of a shard: its file, sentences, bytes, and the SHA-256 of these bytes."""

    file: str
    rows: int
    bytes: int
    sha256: str


class Storage(Protocol):
    """The shards' contents in one directory."""

    def file(self, number: int) -> str:
        """The name of the file that holds a shard."""

    def place(self, number: int) -> Path:
        """The file that a shard is read from, now."""

    def read(self, number: int) -> bytes | None:
        """A shard's content as it is there, damaged or not; None where there is no such file."""

    def begin(self) -> None:
        """Before the first shard is written over what may be there."""

    def write(self, number: int, content: bytes) -> None:
        """Puts a shard in its place, on the disk when this returns. Those before it are there or have an entry."""

    def finish(self) -> None:
        """Once all shards are there, gives them the names they are read by."""


class ShardFiles:
    """shard-00000.parquet, shard-00001.parquet, ...: each whole or absent."""

    def __init__(self, folder: Path, shards: list[Entry]) -> None:
        self.folder = folder

    def file(self, number: int) -> str:
        return f"shard-{number:05d}.parquet"

    def place(self, number: int) -> Path:
        return self.folder / self.file(number)

    def read(self, number: int) -> bytes | None:
        path = self.place(number)
        return path.read_bytes() if path.exists() else None

    def begin(self) -> None:
        """Each shard is replaced by itself."""

    def write(self, number: int, content: bytes) -> None:
        write_atomic(self.place(number), content)

    def finish(self) -> None:
        """Each shard has had its name from the start."""


class TokenFile:
    """train.bin, with all shards one after the other. Until the last is there it has a hidden name."""

    NAME = "train.bin"
    UNFINISHED = ".train.bin.unfinished"

    def __init__(self, folder: Path, shards: list[Entry]) -> None:
        self.folder, self.shards = folder, shards

    @property
    def path(self) -> Path:
        whole = self.folder / self.NAME
        return whole if whole.exists() else self.folder / self.UNFINISHED

    def file(self, number: int) -> str:
        return self.NAME

    def place(self, number: int) -> Path:
        return self.path

    def _begin(self, number: int) -> int:
        return sum(entry["bytes"] for entry in self.shards[:number])

    def read(self, number: int) -> bytes | None:
        if not self.path.exists():
            return None
        with self.path.open("rb") as file:
            file.seek(self._begin(number))
            # What follows the last shard does not belong there: read with it, it shows.
            last = number == len(self.shards) - 1 and self.path.name == self.NAME
            return file.read() if last else file.read(self.shards[number]["bytes"])

    def begin(self) -> None:
        if (self.folder / self.NAME).exists():
            publish(self.folder / self.NAME, self.folder / self.UNFINISHED)

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

    def finish(self) -> None:
        if self.path.name == self.UNFINISHED:
            publish(self.path, self.folder / self.NAME)


STORAGE: dict[str, type[ShardFiles] | type[TokenFile]] = {"parquet": ShardFiles, "bin": TokenFile}
