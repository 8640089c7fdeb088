"""Repairs the environment of a process at its start: closed or full streams, encodings, and warnings set to errors."""

import codecs
import io
import logging
import os
import sys
import warnings

AS_GIVEN = "satlab-as-given"
"""The error handler by which stdout and stderr write characters that their encoding lacks; see `_as_given`."""

NOWHERE = "/nonexistent"
"""The home directory for users without one, as on Debian. Nobody can create it or write to it."""


class _Results(io.FileIO):
    """stdout, with errors that name the stream."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as error:
            error.filename = "standard output"
            raise


class _Messages(io.FileIO):
    """stderr. If it cannot be written to, as on a full disk, messages are lost and the work continues."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError:
            return len(content)


def settle() -> None:
    """Opens closed standard streams, makes them accept every character, and keeps warnings from being errors."""
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:
        # Lost results are an error, unless stderr is closed as well, as for a daemon.
        _open(number, os.O_RDONLY if number == 1 and 2 not in closed else os.O_RDWR)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout = _writer(_Results(1, "w", closefd=False), sys.stdout)
    sys.stderr = _writer(_Messages(2, "w", closefd=False), sys.stderr, by_line=True)
    _libraries()
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.simplefilter("default")


def one_thread() -> None:
    """Sets torch to one thread, unless OMP_NUM_THREADS is set. This imports torch, which takes seconds."""
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        # For models and batches of this size, synchronising a second thread costs more than it gains.
        torch.set_num_threads(1)


def working_directory() -> str | None:
    """The working directory; None if it has been removed or is not accessible."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _libraries() -> None:
    """Sets environment variables that libraries need, and silences messages that do not concern users.

    Libraries need a home directory, which a user in a container may lack, both in HOME and in the system's list of
    users. Notebooks set a matplotlib backend that only they have.
    """
    if os.path.expanduser("~") == "~":
        os.environ["HOME"] = NOWHERE
    os.environ["MPLBACKEND"] = "agg"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _open(number: int, how: int) -> None:
    """Connects a closed descriptor to the null device. Otherwise the next opened file would get the stream's output."""
    opened = os.open(os.devnull, how)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)


def _writer(raw: io.FileIO, before: object, by_line: bool = False) -> io.TextIOWrapper:
    """A text stream over `raw`, in the encoding of the previous stream."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    by_line = by_line or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, AS_GIVEN, line_buffering=by_line)


def _as_given(error: UnicodeError) -> tuple[bytes, int]:
    """An error handler for `codecs`: restores undecodable bytes of file names, and escapes other characters."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return b"".join(map(_bytes_of, error.object[error.start : error.end])), error.end


def _bytes_of(character: str) -> bytes:
    raw = 0xDC80 <= ord(character) <= 0xDCFF
    return bytes([ord(character) - 0xDC00]) if raw else character.encode("ascii", "backslashreplace")


codecs.register_error(AS_GIVEN, _as_given)
