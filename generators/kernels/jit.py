"""The decorators of the compiled kernels. Their machine code releases the GIL, and is kept for the next process.

numba keeps machine code for each source file, and does not notice when a function from another file changes. So each
state of the sources keeps its code in a folder of its own, named by their digest.
"""

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numba
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

SOURCES = Path(__file__).parent

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Operands = ParamSpec("Operands")


@cache
def _say_that_this_takes_time() -> None:
    """One line on a terminal: the first use of all kernels takes a minute or two, in which nothing else is seen."""
    if sys.stderr is not None and sys.stderr.isatty():
        print("satlab: compiling for this machine, once; up to two minutes", file=sys.stderr, flush=True)


class Kept(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Machine code on disk that never fails a caller: it compiles damaged code again, and skips a write that fails."""

    def load_overload(self, *arguments: Any) -> Any:
        """The machine code for these types; None where there is none that can be read."""
        with suppress(Exception):
            found = super().load_overload(*arguments)
            if found is None:
                _say_that_this_takes_time()
            return found
        # Code cannot be added to an index that cannot be read: an empty one takes its place.
        with suppress(OSError):
            self.flush()
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Writes machine code, if the disk takes it."""
        with suppress(Exception):
            super().save_overload(*arguments)


def compiled(function: Kernel) -> Kernel:
    """numba.njit for the inner functions of kernels. They make no arrays, so numba need not count references."""
    return _compiled(function, _nrt=False)


def compiled_pass(function: Kernel) -> Kernel:
    """numba.njit for functions that Python calls or that make arrays."""
    return _compiled(function)


def instruction(define: Callable[Concatenate[Any, Operands], Any]) -> Callable[Operands, Any]:
    """An operation of kernels that `define` writes as LLVM code, given numba's context; see numba's `intrinsic`."""
    operation: Callable[Operands, Any] = intrinsic(define)
    return operation


def _compiled(function: Kernel, **options: Any) -> Kernel:
    """The compiled function, also under NUMBA_DISABLE_JIT: Python cannot run the kernels' vector instructions."""
    before = numba.config.CACHE_DIR, numba.config.DISABLE_JIT
    numba.config.CACHE_DIR, numba.config.DISABLE_JIT = str(FOLDER or before[0]), 0
    try:
        made = numba.njit(nogil=True, **options)(function)
        if FOLDER is not None:
            made._cache = Kept(function)
    finally:
        numba.config.CACHE_DIR, numba.config.DISABLE_JIT = before
    kernel: Kernel = made
    return kernel


def _folder() -> Path | None:
    """Where machine code is kept: beside the sources, or in the user's cache if they are read-only, or nowhere."""
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
    """The folders to try in turn. The user of a container may have neither HOME nor an entry in the system."""
    places = [SOURCES / "__pycache__"]
    with suppress(RuntimeError):
        places.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "satlab")
    return places


FOLDER = _folder()
