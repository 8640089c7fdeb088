"""Ends a command that cannot continue, with one line on stderr and an exit status."""

import errno
import os
import sys

from ...errors import DivergedError, InputError, StoppedError, WorkerError
from ...system.library_words import is_no_file_name, is_no_memory
from ...system.signals import SignalError
from ..unforeseen import explained, on_one_line, show_traceback

MOST_SHOWN = 200
"""The most characters of a path, or of another library's message, that a message repeats."""

UNUSABLE_PATH = {
    *(errno.EEXIST, errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG),
    *(errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.EROFS, errno.ENXIO, errno.ENODEV, errno.ENOTEMPTY),
}
"""Errors caused by the given path, not by its disk."""

CHECK_PATH = "expected a path that can be used; check it, or choose another one"


class EndedError(RuntimeError):
    """A plug-in or library tried to end the process during a command."""


def ending(error: BaseException, with_traceback: bool = False) -> int:
    """Prints why a command ends.

    Args:
        error: the error that ended it.
        with_traceback: whether to print the traceback first.

    Returns:
        The exit status: 2 for bad input, 128 + its number for a signal, 1 for anything else.
    """
    if with_traceback:
        show_traceback(error)
    match error:
        case InputError():
            return _end(2, error)
        case DivergedError() | WorkerError() | SystemExit():
            return _end(1, error)
        case EndedError():
            return _end(1, f"{error}; leave the plug-in out, or run with --traceback to see which it is")
        case StoppedError():
            return _end(error.status if isinstance(error, SignalError) else 143, error)
        case BrokenPipeError():
            # The reader of the output has closed it, so nothing more can be written.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 141
        case OSError() if error.errno != errno.ENOMEM:
            return _of_a_path(error)
        case _ if is_no_file_name(error):
            return _end(2, f"{str(error)[:MOST_SHOWN]}; {CHECK_PATH}")
        case KeyboardInterrupt():
            return _end(130, "interrupted; run the same command again to go on")
    if is_no_memory(error):
        said = " ".join(str(error).split())[:MOST_SHOWN]
        remedy = "take fewer sentences at a time or a smaller model; a run that was begun needs a new --out then"
        return _end(1, f"not enough memory{f' ({said})' if said else ''}; {remedy}")
    return _end(1, explained(error))


def _of_a_path(error: OSError) -> int:
    where = f"{str(error.filename)[:MOST_SHOWN]}: " if error.filename else ""
    remedy = "choose another place or make room, then run it again"
    if error.errno in UNUSABLE_PATH:
        remedy = CHECK_PATH
    elif error.errno == errno.EBADF:
        remedy = "it is closed; leave it open or send it to a file, then run it again"
    return _end(2 if error.errno in UNUSABLE_PATH else 1, f"{where}{error.strerror or error}; {remedy}")


def _end(status: int, message: object) -> int:
    """Prints why the command ends; among several processes, only one prints."""
    if _has_the_word():
        print(f"satlab: {on_one_line(str(message))}", file=sys.stderr, flush=True)
    return status


def _has_the_word() -> bool:
    """Whether this process prints for all that train together. A single process does, without loading torch."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from ...train.parallel.world import has_the_word

    return has_the_word()
