"""The decorators of the compiled kernels. Their machine code releases the GIL and is cached on disk.

numba caches machine code per source file, and does not notice that a function from another file has changed. So each
version of the sources has its own cache folder, named after the digest of all sources.
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
    """Prints one line on a terminal, because compiling all kernels takes a minute or two without other output."""
    if sys.stderr is not None and sys.stderr.isatty():
        print("satlab: compiling for this machine, once; up to two minutes", file=sys.stderr, flush=True)


class Kept(FunctionCache):  # type: ignore[misc]  # numba has no types
    """A cache of machine code that never raises: it compiles damaged code again and ignores failed writes."""

    def load_overload(self, *arguments: Any) -> Any:
        """The machine code for these types; None if there is no readable code."""
        with suppress(Exception):
            found = super().load_overload(*arguments)
            if found is None:
                _say_that_this_takes_time()
            return found
        # numba cannot add code to an unreadable index, so an empty index replaces it.
        with suppress(OSError):
            self.flush()
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Writes machine code, and ignores a failure."""
        with suppress(Exception):
            super().save_overload(*arguments)


def compiled(function: Kernel) -> Kernel:
    """numba.njit for the inner functions of kernels. They create no arrays, so numba need not count references."""
    return _compiled(function, _nrt=False)


def compiled_pass(function: Kernel) -> Kernel:
    """numba.njit for functions that Python calls or that create arrays."""
    return _compiled(function)


def instruction(define: Callable[Concatenate[Any, Operands], Any]) -> Callable[Operands, Any]:
    """An operation for kernels. `define` generates its LLVM code in numba's context; see numba's `intrinsic`."""
    operation: Callable[Operands, Any] = intrinsic(define)
    return operation


def _compiled(function: Kernel, **options: Any) -> Kernel:
    """Compiles even under NUMBA_DISABLE_JIT, because Python cannot run the kernels' vector instructions."""
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
    """The cache folder: next to the sources, or in the user's cache if the sources are read-only; None if neither."""
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
    """The folders to try, in order. In a container, the user may have neither HOME nor a password entry."""
    places = [SOURCES / "__pycache__"]
    with suppress(RuntimeError):
        places.append(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "satlab")
    return places


FOLDER = _folder()
