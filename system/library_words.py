"""Recognises errors of other libraries by their messages if the type of the error says too little.

No other module matches error messages. A test provokes each of these errors and fails if a library changes its message.
The comments name the library versions that the patterns were written for.
"""

import errno
import re
import sys

NO_MEMORY = re.compile(
    # torch 2.13, RuntimeError: DefaultCPUAllocator on POSIX, the same elsewhere, and the CUDA runtime.
    r"can't allocate memory|not enough memory|CUDA error: out of memory"
    # torch 2.13: sizes whose product exceeds 64 bits (RuntimeError), and a size that itself exceeds them (TypeError).
    r"|storage size calculation overflowed|overflow when unpacking"
    # numpy 2.4, ValueError: the same for an array.
    r"|maximum allowed dimension exceeded|array is too big",
    re.IGNORECASE,
)

NO_FILE = re.compile(
    # Python 3.11 and 3.12, RuntimeError: pathlib's Path.resolve; since 3.13 it raises an OSError.
    r"^Symlink loop"
    # Python 3.11 to 3.13, ValueError: every function that takes a path.
    r"|^embedded null"
)

LOST_PEER = re.compile(
    # torch 2.13 with gloo, RuntimeError: a collective operation if another process has ended or does not answer.
    r"connection (was )?(closed|reset|refused)|broken pipe|socket|gloo|timed out"
    # torch 2.13 with NCCL: the watchdog raises a plain RuntimeError.
    r"|nccl",
    re.IGNORECASE,
)

ERROR_NUMBER = re.compile(r"\(os error (\d+)\)")
"""safetensors 0.8, SafetensorError: how Rust writes an error number of the operating system."""


def is_no_memory(error: BaseException) -> bool:
    """Whether an error means that the memory does not suffice for a tensor or an array."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, (RuntimeError, ValueError, TypeError)) and NO_MEMORY.search(str(error)) is not None


def is_no_file_name(error: BaseException) -> bool:
    """Whether an error means that no file can have the given path."""
    return isinstance(error, (RuntimeError, ValueError)) and NO_FILE.search(str(error)) is not None


def is_lost_peer(error: RuntimeError) -> bool:
    """Whether a plain RuntimeError of a collective operation means that another process has ended."""
    return type(error) is RuntimeError and LOST_PEER.search(str(error)) is not None


def error_number(error: BaseException) -> int:
    """The operating system's error number in another library's message; EIO if the message has none."""
    found = ERROR_NUMBER.search(str(error))
    return int(found[1]) if found else errno.EIO
