"""Files that are whole or absent, whenever the power goes."""

import errno
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import InputError

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system: one writer at a time is then up to the user
    fcntl = None  # type: ignore[assignment]

SUMS = "SHA256SUMS"
"""The file of a folder that holds the digests of the others."""

PATIENCE = 10.0
"""Seconds to wait for a process that writes the same directory and may be about to end."""


def flush(path: Path) -> None:
    """Waits until a file, or a directory's entries, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def printable(name: str) -> str:
    """A file's name for tables, figures and pages: bytes that are not of the file system's encoding are escaped, as \\xff."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replaces the file by the new content in one step: a reader finds the old one or the new one, nothing between.

    Where writing fails, as on a full disk, the OSError names the file, and nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        publish(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def publish(partial: Path, path: Path) -> None:
    """Gives a file that is completely written its final name."""
    flush(partial)
    os.replace(partial, path)
    flush(path.parent)


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds rows to a JSON-lines file, on the disk when this returns. A half-written last line is cut off first.

    Several processes may append to the same file. Where writing fails, as on a full disk, the OSError names the file, and
    none of the rows is there.
    """
    left = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
    with path.open("ab+", buffering=0) as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        content = path.read_bytes()
        whole = _whole_lines(content)
        try:
            if whole < len(content):
                file.truncate(whole)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException as error:
            with suppress(OSError):
                file.truncate(whole)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = str(path)
            raise


def read_lines(path: Path, wrong: Callable[[dict[str, Any]], str | None] | None = None) -> list[dict[str, Any]]:
    """The rows of a JSON-lines file, without a half-written last one; none where there is no file.

    Raises InputError, naming the line, where the file is damaged, and where `wrong` says what is wrong with a row.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    rows = []
    for number, line in enumerate(content[: _whole_lines(content)].splitlines(), 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise InputError(f"{path}, line {number}: damaged, expected a JSON object; remove the line")
        if wrong is not None and (said := wrong(row)) is not None:
            raise InputError(f"{path}, line {number}: {said}; correct the line or remove it")
        rows.append(row)
    return rows


def sha256(path: Path) -> str:
    """The digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Writes down the digest of every file of the folder, as `sha256sum -c SHA256SUMS` reads it."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    (folder / SUMS).write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files))


def damaged_file(folder: Path, names: Iterable[str]) -> str | None:
    """The first of these files that is not as `write_sums` saw it, and how; None where all are, or it saw none."""
    try:
        lines = (folder / SUMS).read_bytes().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return None
    digests = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    for name in names:
        if name not in digests:
            return f"{SUMS}: damaged, {name} is not in it"
        try:
            if sha256(folder / name) != digests[name]:
                return f"{name}: damaged, its SHA-256 is not that of {SUMS}"
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return f"{name}: missing"
    return None


def check_writable(folder: Path) -> None:
    """Raises an OSError that names the directory where it is there and nothing can be written into it."""
    if folder.exists() and not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, "not writable", str(folder))


def _whole_lines(content: bytes) -> int:
    return content.rfind(b"\n") + 1


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing the same run or corpus; waits PATIENCE seconds for one that is about to end.

    Raises InputError where it goes on. The lock goes with the process, however that ends.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        deadline = time.monotonic() + PATIENCE
        while fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise InputError(f"{folder}: another process is writing here; wait for it or stop it") from None
                time.sleep(0.2)
        yield
    finally:
        os.close(lock)
