"""The memory of this machine, and the check that a request fits into it."""

import math
import os
from pathlib import Path

import torch

from ..errors import TooLargeError

try:
    import resource
except ImportError:  # pragma: no cover - not a POSIX system: processes have no limits of their own
    resource = None  # type: ignore[assignment]

UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def machine_memory(root: Path = Path("/")) -> int | None:
    """The memory that a process can use: the machine's, or less if a control group or ulimit sets a lower limit.

    Args:
        root: the directory that contains proc and sys.

    Returns:
        Bytes; None if the size is unknown.
    """
    known = _group_limits(root)
    if "SC_PHYS_PAGES" in os.sysconf_names:
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    if resource is not None and (limit := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        known.append(limit)
    return min((size for size in known if size > 0), default=None)


def _group_limits(root: Path) -> list[int]:
    """The memory limits of this process's control groups (versions 1 and 2) and of all their parent groups."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            base, file = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, file = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            text = _text(base.joinpath(*parts[:depth], file)).strip()
            found += [int(text)] if text.isdecimal() else []
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def check_memory(needed: int, what: str, remedy: str, gpus: bool = False) -> None:
    """Checks that something fits into the memory of this machine.

    Args:
        needed: the memory needed; bytes.
        what: what needs the memory, for the message.
        remedy: what to do if it does not fit, for the message.
        gpus: whether it may use the memory of a GPU instead.

    Raises:
        TooLargeError: if it does not fit.
    """
    room = machine_memory()
    if room is not None and needed > room and gpus and torch.cuda.is_available():
        found = [torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count())]
        room = max([room, *found])
    if room is not None and needed > room:
        raise TooLargeError(
            f"{what}: needs at least {as_size(needed)} of memory, expected at most the {as_size(room)} of this "
            f"machine; {remedy}"
        )


def as_size(number: int) -> str:
    """A number of bytes with a unit, such as 1.5 GiB."""
    power = max(0, (number.bit_length() - 1) // 10)
    if power >= len(UNITS):
        return f"10^{int(number.bit_length() * math.log10(2))} bytes"
    value = number / 1024**power
    return f"{value:,.0f} {UNITS[power]}" if value >= 100 else f"{value:.3g} {UNITS[power]}"
