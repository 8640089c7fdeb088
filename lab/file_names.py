"""File names: those that identify directories of runs and studies, and those made from names that people gave.

Tasks, models and studies may have names that no file can have.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

CONFIG = "config.yaml"
"""The file that makes a directory a run."""

PUT_BACK = "restore the file that satlab train wrote, or train again in a new directory"
"""The advice in an error message about a damaged config.yaml."""

STUDY_FILE = "study.yaml"
"""The file that makes a directory a study."""

REPORT = "report.html"
"""The default name of the report on a directory."""

MOST_BYTES = 200
"""The most bytes of one part of a file name; the remaining bytes are for the other parts."""


def file_parts(texts: Iterable[str], folder: Path) -> dict[str, str]:
    """Parts of file names made from these texts.

    Blanks become hyphens. A character that a file name cannot contain becomes its code: / becomes %2F. A part that is
    too long, or that an earlier text already has, is shortened and ends in a digest of its text.

    Args:
        texts: names that people gave.
        folder: the directory of the files.

    Returns:
        text -> its part. The parts of different texts are different files in this directory.
    """
    parts: dict[str, str] = {}
    taken, cased = set(), distinguishes_case(folder)
    for text in texts:
        part = "".join(map(_allowed, text))
        if len(os.fsencode(part)) > MOST_BYTES or _as_seen(part, cased) in taken:
            part = f"{_beginning(part)}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()[:8]}"
        taken.add(_as_seen(part, cased))
        parts[text] = part
    return parts


def _allowed(character: str) -> str:
    if character == " ":
        return "-"
    if character == "/" or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return "".join(f"%{byte:02X}" for byte in character.encode(errors="surrogatepass"))
    return character


def _beginning(part: str) -> str:
    """The beginning of the part, short enough to leave room for a digest."""
    while len(os.fsencode(part)) > MOST_BYTES - 9:
        part = part[: min(len(part) - 1, MOST_BYTES - 9)]
    return part


def _as_seen(part: str, cased: bool) -> str:
    return part if cased else unicodedata.normalize("NFC", part).casefold()


def same_file(names: Iterable[str], folder: Path) -> tuple[str, str] | None:
    """The first two names that would be the same file or directory in the folder; None if all differ."""
    seen: dict[str, str] = {}
    cased = distinguishes_case(folder)
    for name in names:
        other = seen.setdefault(_as_seen(name, cased), name)
        if other != name:
            return other, name
    return None


def distinguishes_case(folder: Path) -> bool:
    """Whether names that differ only in case are different files in a directory. Writes nothing to find out.

    Args:
        folder: the directory. If it does not exist yet, the test uses the nearest existing one above it.

    Returns:
        Whether case matters; True if it cannot be determined, because the path has no letters.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        turned = place.with_name(place.name.swapcase()) if place.name else place
        if turned != place and place.exists():
            try:
                return not os.path.samefile(place, turned)
            except OSError:
                return True
    return True
