"""Atomic creation of directories: a directory is complete or absent, like the files of `disk.write_atomic`."""

import filecmp
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import InputError
from . import disk
from .disk import flush, is_there, naming, partial_of, wait_for


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary directory to fill. It becomes the target after the block, when all its files are on the disk.

    Of several processes with the same target, one goes first and the others wait up to PATIENCE seconds. If the block
    fails, the temporary directory is removed, and an OSError names the target or a file in it.

    Args:
        target: a directory that does not exist, is empty, or holds the same files.

    Yields:
        The directory to fill, which is empty.

    Raises:
        InputError: if the target holds other files, or if another process is still writing to it.
    """
    partial, deadline = partial_of(target), time.monotonic() + disk.PATIENCE
    with naming(target), made_for(target.parent), _held_folder(partial, target, deadline):
        try:
            for path in partial.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            yield partial
            for path in [*partial.rglob("*"), partial]:
                flush(path)
            if not target.exists() or (target.is_dir() and not any(target.iterdir())):
                os.replace(partial, target)
                flush(target.parent)
            elif not _same_files(partial, target):
                raise InputError(f"{target}: holds something else, expected a new or empty directory; choose another")
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _held_folder(partial: Path, target: Path, deadline: float) -> Iterator[None]:
    """Creates and locks the directory. Other processes wait until it has its final name or is removed."""
    while True:
        partial.mkdir(exist_ok=True)
        try:
            lock = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            wait_for(lock, target, deadline)
            if is_there(partial, lock):
                yield
                return
        finally:
            os.close(lock)


def _same_files(one: Path, other: Path) -> bool:
    """Whether two directories hold the same files, byte for byte, and nothing else."""
    if not other.is_dir():
        return False
    names, there = ([path.relative_to(top) for path in sorted(top.rglob("*"))] for top in (one, other))
    files = [name for name in names if not (one / name).is_dir()]
    return names == there and all(
        (other / name).is_file() and filecmp.cmp(one / name, other / name, shallow=False) for name in files
    )


@contextmanager
def begun(folder: Path, first_files: str) -> Iterator[None]:
    """Creates a directory, or takes an existing one, and keeps other processes from writing to it.

    If the block fails, the files that it created are removed, and so are the directories that are empty then.

    Args:
        folder: the directory.
        first_files: the glob pattern of the files that the block may create; only these are removed.
    """
    with made_for(folder), disk.only_writer(folder):
        before = set(folder.iterdir())
        try:
            yield
        except BaseException:
            for path in set(folder.glob(first_files)) - before:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def made_for(folder: Path) -> Iterator[None]:
    """Creates a directory and its parents. If the block fails, those that it created are removed if empty."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for place in made:
                place.rmdir()
        raise
