"""Checks that devices, pipes, sockets and directories are neither read as a file nor replaced by one."""

import os
import stat
from pathlib import Path

from ..errors import InputError

NO_FILE = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
"""File types (`stat.S_IFMT`) other than regular files -> how messages name them."""


def no_file(path: Path) -> str | None:
    """What the path is if it is not a file, with links followed: "a directory", "a pipe", ...; None otherwise."""
    try:
        return NO_FILE.get(stat.S_IFMT(os.stat(path).st_mode))
    except FileNotFoundError:
        return None


def check_readable(path: Path, expected: str) -> None:
    """Checks that a path is a file, before it is read: a device never ends, and a pipe may never begin.

    Args:
        path: the path, which need not exist.
        expected: what it should be, for the message, such as "a file with a grammar".

    Raises:
        InputError: if something else than a file is there.
    """
    if kind := no_file(path):
        raise InputError(f"{path}: {kind}, expected {expected}; check the path")


def check_replaceable(path: Path, called: str = "") -> None:
    """Checks that a file may be written at a path: the path is a file, a link to a file, or free.

    Args:
        path: the path.
        called: a prefix of the path in the message, such as "--png ".

    Raises:
        InputError: if something else is there.
    """
    if kind := no_file(path):
        raise InputError(f"{called}{path}: {kind}, expected a file or a new name; choose another place")
