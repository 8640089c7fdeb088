"""SHA-256 digests of the files in a folder, which reveal damaged files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

SUMS = "SHA256SUMS"
"""The name of the file that holds the digests of the other files in its folder."""


def sha256(path: Path) -> str:
    """The SHA-256 digest of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path) -> None:
    """Writes the digests of all files in the folder to SHA256SUMS, in the form that `sha256sum -c` reads."""
    files = sorted(path for path in folder.iterdir() if path.name != SUMS)
    (folder / SUMS).write_text("".join(f"{sha256(path)}  {path.name}\n" for path in files))


def sums_in(folder: Path) -> dict[str, str]:
    """File name -> digest, as `write_sums` wrote them; empty if there is no such file."""
    try:
        lines = (folder / SUMS).read_bytes().decode(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def damaged_file(folder: Path, names: Iterable[str]) -> str | None:
    """Compares files of a folder with the digests of `write_sums` and describes the first damaged file.

    Args:
        folder: the folder.
        names: the files to check, in this order.

    Returns:
        The file and its damage in words; None if no file is damaged or there are no digests.
    """
    if not (folder / SUMS).exists():
        return None
    digests = sums_in(folder)
    for name in names:
        if name not in digests:
            return f"{SUMS}: damaged, it does not list {name}"
        try:
            if sha256(folder / name) != digests[name]:
                return f"{name}: damaged, its SHA-256 differs from the one in {SUMS}"
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return f"{name}: missing"
    return None
