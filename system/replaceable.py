"""What a file may be put at: devices, pipes, sockets and directories are never replaced by one."""

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
"""The type in a file's mode -> what messages call what is no file."""


def no_file(path: Path) -> str | None:
    """What is at the path, or at the end of a link there, where it is no file: "a directory", "a pipe", "a device"."""
    try:
        return NO_FILE.get(stat.S_IFMT(os.stat(path).st_mode))
    except FileNotFoundError:
        return None


def check_replaceable(path: Path, called: str = "") -> None:
    """Checks that a file may be put at a path: there is a file, a link to one, or nothing.

    Args:
        path: of the file.
        called: what the message puts before it, such as "--png ".

    Raises:
        InputError: where something else is there.
    """
    if kind := no_file(path):
        raise InputError(f"{called}{path}: {kind}, expected a file or a new name; choose another place")
