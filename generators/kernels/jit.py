"""The decorators of the compiled kernels: machine code that lets the interpreter go on, kept for the next process.

numba keeps machine code by the file it was written in, and does not see that a function it calls in another file has
changed. So the code of one state of the sources has a folder of its own, named by their digest.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache

SOURCES = Path(__file__).parent


class Kept(FunctionCache):
    """Machine code on disk that never fails a caller: what is damaged is compiled again, what cannot be kept is not."""

    def load_overload(self, *arguments: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(*arguments)
        # An index that cannot be read would keep the code that is compiled now from being kept as well.
        with suppress(OSError):
            self.flush()
        return None

    def save_overload(self, *arguments: Any) -> None:
        with suppress(Exception):
            super().save_overload(*arguments)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba.njit for a kernel's inner functions: they make no arrays, so none of their many arguments is counted."""
    return _compiled(function, _nrt=False)


def compiled_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba.njit for what is called from Python, or makes arrays."""
    return _compiled(function)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """The function compiled whatever NUMBA_DISABLE_JIT says: kernels use vector instructions, which Python has not."""
    before = numba.config.CACHE_DIR, numba.config.DISABLE_JIT
    numba.config.CACHE_DIR, numba.config.DISABLE_JIT = str(FOLDER or before[0]), 0
    try:
        made: Any = numba.njit(nogil=True, **options)(function)
        if FOLDER is not None:
            made._cache = Kept(function)
    finally:
        numba.config.CACHE_DIR, numba.config.DISABLE_JIT = before
    return made


def _folder() -> Path | None:
    """Beside the sources, or in the user's cache where they are read-only; nowhere, if that is so too."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.py")):
        digest.update(path.read_bytes())
    for place in _places():
        folder = place / f"kernels-{digest.hexdigest()[:16]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def _places() -> list[Path]:
    """A user of a container may have neither HOME nor an entry among the system's users."""
    places = [SOURCES / "__pycache__"]
    with suppress(RuntimeError):
        places.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "satlab")
    return places


FOLDER = _folder()
