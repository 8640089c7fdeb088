"""The decorators of the compiled kernels: machine code that lets the interpreter go on, kept for the next process.

numba keeps machine code by the file it was written in, and does not see that a function it calls in another file has
changed. So the code of one state of the sources has a folder of its own, named by their digest.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba

SOURCES = Path(__file__).parent


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba.njit for a kernel's inner functions: they make no arrays, so none of their many arguments is counted."""
    return _compiled(function, _nrt=False)


def compiled_pass(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba.njit for what is called from Python, or makes arrays."""
    return _compiled(function)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(FOLDER or before)
    try:
        made: Callable[..., Any] = numba.njit(nogil=True, cache=FOLDER is not None, **options)(function)
    finally:
        numba.config.CACHE_DIR = before
    return made


def _folder() -> Path | None:
    """Beside the sources, or in the user's cache where they are read-only; nowhere, if that is so too."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.glob("*.py")):
        digest.update(path.read_bytes())
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "satlab"
    for place in (SOURCES / "__pycache__", user):
        folder = place / f"kernels-{digest.hexdigest()[:16]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


FOLDER = _folder()
