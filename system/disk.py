"""Atomic writing: after a crash or a power failure, a file is complete or unchanged, never half-written."""

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
from .replaceable import check_replaceable

try:
    import fcntl
except ImportError:  # pragma: no cover - not a POSIX system: the user must then ensure that there is one writer
    fcntl = None  # type: ignore[assignment]

LONGEST_NAME = 255
"""The longest file name, in bytes, that all common file systems allow."""

PATIENCE = 10.0
"""Seconds to wait for another process that is writing to the same directory."""


def flush(path: Path) -> None:
    """Waits until a file, or the list of a directory's entries, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def printable(name: str) -> str:
    r"""A file's name for tables, figures and pages. Bytes outside the file system's encoding become \xff and so on."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def partial_of(path: Path) -> Path:
    """The hidden path, in the same folder, at which a file or directory is written before it gets its final name."""
    name = f".{path.name}.partial"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()}.partial"
    return path.with_name(name)


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Makes an OSError in the block name the final path.

    This changes errors that name no file, and errors that name `partial_of(path)` or a file in it.

    Args:
        path: the file or directory that the block writes.

    Yields:
        None.

    Raises:
        OSError: the block's error, with the final path.
    """
    try:
        yield
    except OSError as error:
        named = path if error.filename is None else Path(os.fsdecode(error.filename))
        if named.is_relative_to(partial_of(path)):
            named = path / named.relative_to(partial_of(path))
        error.filename, error.filename2 = str(named), None
        raise


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replaces a file's content in one step: a reader finds the old content or the new content, never a mixture.

    Several processes may write the file at the same time; one of them wins. If writing fails, as on a full disk, the
    OSError names the file, and no temporary file remains. If the path is a symbolic link, the link stays and its target
    is written.

    Args:
        path: the file.
        content: its new content.

    Raises:
        InputError: if the path is a directory, a device, a socket or a pipe.
    """
    check_replaceable(path)
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    left = memoryview(content.encode() if isinstance(content, str) else content)
    partial = partial_of(path)
    with naming(path), _held(partial) as file:
        try:
            os.truncate(file, 0)
            while left:
                left = left[os.write(file, left) :]
            publish(partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


@contextmanager
def _held(partial: Path) -> Iterator[int]:
    """Opens and locks the file. Other processes wait until it has its final name or is removed."""
    while True:
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
        try:
            # Some network file systems cannot lock files; write without a lock there.
            with suppress(OSError):
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX)
            if is_there(partial, file):
                yield file
                return
        finally:
            os.close(file)


def is_there(path: Path, file: int) -> bool:
    """Whether the open file is still at this path."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def publish(partial: Path, path: Path) -> None:
    """Gives a completely written file its final name. Raises InputError if something other than a file has the name."""
    check_replaceable(path)
    flush(partial)
    os.replace(partial, path)
    flush(path.parent)


def append_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Appends rows to a JSON-lines file and returns when they are on the disk. Removes a half-written last line first.

    Several processes may append to the same file. If writing fails, as on a full disk, the OSError names the file, and
    none of the rows is added.

    Args:
        path: the file; it is created if missing.
        rows: the rows to add, one line each.
    """
    text = _as_lines(rows)
    _append(path, lambda content: text)


def append_missing(path: Path, missing: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Appends only the rows that a file lacks, otherwise like `append_lines`.

    The file is locked from reading to writing, so if two processes have the same rows, only one adds them.

    Args:
        path: the file; it is created if missing.
        missing: a function from the rows in the file to the rows to add.

    Returns:
        The rows that were added.
    """
    added: list[dict[str, Any]] = []

    def lines(content: bytes) -> str:
        added.extend(missing(_rows(path, content, None)))
        return _as_lines(added)

    _append(path, lines)
    return added


def _as_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _append(path: Path, lines: Callable[[bytes], str]) -> None:
    """Appends the text that `lines` returns for the file's content, with the file locked from reading to writing."""
    with path.open("ab+", buffering=0) as file:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
        content = path.read_bytes()
        left, whole = memoryview(lines(content).encode()), _whole_lines(content)
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
    """The rows of a JSON-lines file, without a half-written last line.

    Args:
        path: the file.
        wrong: a function from a row to what is wrong with it, or None.

    Returns:
        The rows; an empty list if there is no file.

    Raises:
        InputError: with the line number, if the file is damaged or `wrong` finds an error in a row.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    return _rows(path, content, wrong)


def _rows(path: Path, content: bytes, wrong: Callable[[dict[str, Any]], str | None] | None) -> list[dict[str, Any]]:
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


def check_writable(folder: Path) -> None:
    """Raises an OSError that names the directory if it exists and is not writable."""
    if folder.exists() and not os.access(folder, os.W_OK):
        raise OSError(errno.EACCES, "not writable", str(folder))


def check_appendable(path: Path) -> None:
    """Raises an OSError that names the file if no row can be appended to it. Does not change the file."""
    if path.exists():
        os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
    else:
        check_writable(path.parent)


def _whole_lines(content: bytes) -> int:
    return content.rfind(b"\n") + 1


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing to the same run or corpus while the block runs.

    It waits up to PATIENCE seconds for a process that holds the folder. The lock ends with the process, even if the
    process is killed.

    Args:
        folder: the folder of the run or corpus.

    Yields:
        None.

    Raises:
        InputError: if another process still holds the folder after that time.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        wait_for(lock, folder, time.monotonic() + PATIENCE)
        yield
    finally:
        os.close(lock)


def wait_for(lock: int, folder: Path, deadline: float) -> None:
    """Locks an open file or folder. Raises InputError if another process still holds it at the deadline."""
    while fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise InputError(f"{folder}: another process is writing here; wait for it or stop it") from None
            time.sleep(0.2)
