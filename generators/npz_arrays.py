"""Reads the arrays of an .npz file: numbers and strings of any width and byte order, never Python objects."""

import lzma
import re
import struct
import sys
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..errors import InputError, unknown
from ..system.memory import check_memory

UNREADABLE = (
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, SyntaxError, MemoryError),
    *(EOFError, OSError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""Errors that zipfile, its decompressors and numpy raise for damaged files and for files that numpy did not write."""

ENCRYPTED = 0x1
"""The flag of an archive member that a password protects."""

KINDS = {"O": "Python objects", "c": "complex numbers", "S": "bytes", "U": "texts", "T": "texts", "V": "records"} | {
    "M": "dates",
    "m": "durations",
}
"""The kind of each dtype other than real numbers -> its name in messages."""


def read_arrays(path: Path, known: Iterable[str]) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, compressed or not.

    Args:
        path: the path of the file.
        known: the allowed names.

    Returns:
        name -> array. The trailing underscores of hmmlearn's names are removed.

    Raises:
        InputError: for a file that is not a zip archive, and for an array that is unknown, repeated, damaged,
            encrypted, compressed by an unsupported method, made of Python objects, or larger than the memory.
        OSError: if the file cannot be opened.
    """
    arrays: dict[str, np.ndarray] = {}
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except UNREADABLE:
            raise InputError("not an npz archive of plain arrays; write it with numpy.savez") from None
        with archive:
            names = _names(archive, list(known))
            check_memory(sum(info.file_size for info in archive.infolist()), "its arrays", "store smaller arrays")
            for name, member in names.items():
                arrays[name] = _array(archive, name, member)
    return arrays


def _names(archive: zipfile.ZipFile, known: list[str]) -> dict[str, zipfile.ZipInfo]:
    """name -> the archive member that holds this array."""
    found: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy").rstrip("_")
        if name not in known:
            raise InputError(str(unknown("array", member.filename.removesuffix(".npy"), known)))
        if not member.filename.endswith(".npy"):
            raise InputError(f"{member.filename!r} is not an array, expected {name}.npy; write it with numpy.savez")
        if name in found:
            raise InputError(f"holds the array '{name}' twice, expected it only once; write it again with numpy.savez")
        found[name] = member
    return found


def _array(archive: zipfile.ZipFile, name: str, member: zipfile.ZipInfo) -> np.ndarray:
    """The array that one archive member holds."""
    if member.flag_bits & ENCRYPTED:
        raise InputError(f"the array '{name}' is encrypted, expected a plain one; write it with numpy.savez")
    try:
        with archive.open(member) as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False)
            # zipfile checks the checksum only at the member's end. Surplus bytes are damage too.
            if file.read(1):
                raise ValueError("more bytes than its shape needs")
    except NotImplementedError as error:
        raise InputError(
            f"the array '{name}' cannot be unpacked ({error}); write it with numpy.savez_compressed"
        ) from None
    except UNREADABLE as error:
        if _holds_objects(archive, member):
            wanted = (
                "strings; store it as numpy.array(words, dtype=str)"
                if name == "words"
                else "numbers; store it as float64"
            )
            raise InputError(f"the array '{name}' holds {KINDS['O']}, expected {wanted}") from None
        # Some messages contain the address of an object.
        said = re.sub(r"<[^>]*>", "...", str(error)) or type(error).__name__
        raise InputError(
            f"the array '{name}' is damaged ({said:.200}), expected the file that numpy.savez wrote; restore it"
        ) from None
    return array


def _holds_objects(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bool:
    """Whether the header of an array says that it is made of Python objects."""
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    with suppress(*UNREADABLE), archive.open(member) as file:
        return bool(read_header[np.lib.format.read_magic(file)](file)[2].hasobject)
    return False


def as_numbers(name: str, array: np.ndarray) -> np.ndarray:
    """The array as float64. Warns once if wider floats had to be rounded.

    Args:
        name: the name of the array.
        array: integers, booleans or floats of any width and byte order.

    Returns:
        An array of the same shape.

    Raises:
        InputError: for anything but real numbers.
    """
    kind = array.dtype.kind
    if kind not in "fiub":
        raise InputError(
            f"the array '{name}' holds {KINDS.get(kind, 'no numbers')} ({array.dtype}), expected numbers such as "
            "float64; convert it"
        )
    with np.errstate(over="ignore"):
        numbers = np.ascontiguousarray(array, dtype=np.float64).reshape(array.shape)
    changed = int((numbers != array).sum() - np.isnan(array).sum()) if kind == "f" and array.dtype.itemsize > 8 else 0
    if changed:
        warnings.warn(
            f"the array '{name}' is {array.dtype.name}: {changed:,} of {array.size:,} numbers were rounded to float64",
            stacklevel=2,
        )
    return numbers


def as_texts(name: str, array: np.ndarray) -> list[str]:
    """The array as strings.

    Args:
        name: the name of the array.
        array: one-dimensional, of strings, UTF-8 bytes or integers.

    Returns:
        The strings.

    Raises:
        InputError: for an array of another shape or type, and for invalid Unicode.
    """
    kind = array.dtype.kind
    if array.ndim != 1 or kind not in "USTiu":
        raise InputError(
            f"'{name}' has shape {list(array.shape)} of {array.dtype}, expected a list of strings; correct it"
        )
    if kind == "U" and array.itemsize:
        codes = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).view(np.uint32)
        if int(codes.max(initial=0)) > sys.maxunicode:
            raise InputError(_no_text(name))
    try:
        return [item.decode() if isinstance(item, bytes) else str(item) for item in array.tolist()]
    except ValueError:
        raise InputError(_no_text(name)) from None


def _no_text(name: str) -> str:
    return f"'{name}' holds invalid Unicode, expected strings; correct it"
