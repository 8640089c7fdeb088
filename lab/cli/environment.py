"""Makes what a process finds when it starts usable: closed or full streams, encodings, warnings that are errors."""

import codecs
import io
import logging
import os
import sys
import warnings

AS_GIVEN = "satlab-as-given"
"""How stdout and stderr write what their encoding lacks; see `_as_given`."""

NOWHERE = "/nonexistent"
"""The home directory of those who have none, as on Debian; nobody can make or fill it."""


class _Results(io.FileIO):
    """stdout; its errors name the stream."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as error:
            error.filename = "standard output"
            raise


class _Messages(io.FileIO):
    """stderr: where nothing can be written, as on a full disk, messages are lost and the work goes on."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError:
            return len(content)


def settle() -> None:
    """Lets the standard streams of this process take every character, and keeps warnings from being errors."""
    closed = [number for number in range(3) if not _is_open(number)]
    for number in closed:
        # Results that are lost are an error, unless errors too have been given up, as of a daemon.
        _open(number, os.O_RDONLY if number == 1 and 2 not in closed else os.O_RDWR)
    sys.stdin = sys.stdin or io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout = _writer(_Results(1, "w", closefd=False), sys.stdout)
    sys.stderr = _writer(_Messages(2, "w", closefd=False), sys.stderr, by_line=True)
    _libraries()
    if any(action == "error" for action, *_ in warnings.filters):
        warnings.simplefilter("default")


def one_thread() -> None:
    """Sets torch to one thread, unless the environment says otherwise. It is imported for that, which takes seconds."""
    if "OMP_NUM_THREADS" not in os.environ:
        import torch

        # Models and batches of this size lose more by waiting for a second thread than it does for them.
        torch.set_num_threads(1)


def working_directory() -> str | None:
    """The working directory; None where it has been removed, or may not be looked at."""
    try:
        return os.getcwd()
    except OSError:
        return None


def _libraries() -> None:
    """Sets what libraries need to load, and silences what they say of matters that concern no user.

    They ask for a home directory, which a user of a container may have neither by HOME nor by an entry among the
    system's users; notebooks name a way to draw that only they have.
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
    """A closed descriptor leads nowhere: otherwise the next file to be opened gets what is meant for the stream."""
    opened = os.open(os.devnull, how)
    if opened == number:
        os.set_inheritable(number, True)
    else:
        os.dup2(opened, number)
        os.close(opened)


def _writer(raw: io.FileIO, before: object, by_line: bool = False) -> io.TextIOWrapper:
    """A text stream over `raw`, in the encoding of the one that was there before."""
    encoding = getattr(before, "encoding", None) or "utf-8"
    by_line = by_line or raw.isatty()
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding, AS_GIVEN, line_buffering=by_line)


def _as_given(error: UnicodeError) -> tuple[bytes, int]:
    """For `codecs`: a name's bytes that are not of the file system's encoding; an escape for other characters."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return b"".join(map(_bytes_of, error.object[error.start : error.end])), error.end


def _bytes_of(character: str) -> bytes:
    raw = 0xDC80 <= ord(character) <= 0xDCFF
    return bytes([ord(character) - 0xDC00]) if raw else character.encode("ascii", "backslashreplace")


codecs.register_error(AS_GIVEN, _as_given)
