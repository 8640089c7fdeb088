"""The decorators of the compiled kernels. Their machine code releases the GIL and is cached on disk.

numba caches machine code per source file, and does not notice that a function from another file has changed. So each
version of the sources has its own cache folder, named after the digest of all sources.
"""

import hashlib
import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numba
from numba.core.caching import FunctionCache
from numba.extending import intrinsic

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

SOURCES = Path(__file__).parent

Kernel = TypeVar("Kernel", bound=Callable[..., object])
Operands = ParamSpec("Operands")


@cache
def say_that_this_takes_time() -> None:
    """Prints one line, unless --quiet is given, because compiling all kernels takes a minute or two."""
    if sys.stderr is not None and logging.getLogger("satlab").level < logging.ERROR:
        print("satlab: compiling for this machine, once; up to two minutes", file=sys.stderr, flush=True)


class Turn:
    """Lets one process compile at a time, so that processes that start together do not all make the same code.

    A process that waits longer than `PATIENCE` seconds, or on a file system without locks, compiles without its turn.

    Attributes:
        depth: number of kernels that this process compiles now, one inside the other.
    """

    PATIENCE = 180.0

    def __init__(self) -> None:
        self.depth = 0
        self._file: int | None = None

    def begin(self) -> None:
        """Waits for the turn, unless this process has it."""
        self.depth += 1
        if self.depth > 1 or FOLDER is None or fcntl is None:
            return
        with suppress(OSError):
            self._file = os.open(FOLDER / "compiling", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            until = time.monotonic() + self.PATIENCE
            while time.monotonic() < until:
                try:
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    time.sleep(0.1)

    def end(self) -> None:
        """Ends a `begin`; with the outermost one, the turn."""
        self.depth = max(self.depth - 1, 0)
        if self.depth == 0 and self._file is not None:
            with suppress(OSError):
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = None


TURN = Turn()


class Kept(FunctionCache):  # type: ignore[misc]  # numba has no types
    """A cache of machine code that never raises: it compiles damaged code again and ignores failed writes.

    numba calls `load_overload`, compiles if that returns None, and then calls `save_overload`.
    """

    def load_overload(self, *arguments: Any) -> Any:
        """The machine code for these types; None, and the turn to compile it, if there is no readable code."""
        found = self._readable(*arguments)
        if found is None:
            say_that_this_takes_time()
            TURN.begin()
            found = self._readable(*arguments)
            if found is not None:
                TURN.end()
        return found

    def _readable(self, *arguments: Any) -> Any:
        with suppress(Exception):
            return super().load_overload(*arguments)
        # numba cannot add code to an unreadable index, so an empty index replaces it.
        with suppress(OSError):
            self.flush()
        return None

    def save_overload(self, *arguments: Any) -> None:
        """Writes machine code, and ignores a failure. Ends the turn."""
        try:
            with suppress(Exception):
                super().save_overload(*arguments)
        finally:
            TURN.end()


def compiled(function: Kernel) -> Kernel:
    """numba.njit for the inner functions of kernels. They create no arrays, so numba need not count references."""
    # Compiled functions alone call them. Without entries for Python and C, compiling takes a third less time.
    return _compiled(function, _nrt=False, no_cpython_wrapper=True, no_cfunc_wrapper=True)


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
