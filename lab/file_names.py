"""Names of files: those by which directories are told, and those that show what people named.

Tasks, models and studies may be called what no file can be.
"""

import hashlib
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

CONFIG = "config.yaml"
"""The file by which a directory is a run."""

PUT_BACK = "put back what satlab train wrote, or train again in a new directory"
"""What to do about a config.yaml that is damaged."""

STUDY_FILE = "study.yaml"
"""The file by which a directory is a study."""

REPORT = "report.html"
"""What the report on a directory is called, unless another place is given."""

MOST_BYTES = 200
"""Of a part of a name; the rest is for what stands before and after it."""


def file_parts(texts: Iterable[str], folder: Path) -> dict[str, str]:
    """Parts of the names of files that show these texts.

    Blanks become hyphens; a character that no name may hold becomes its code, / becomes %2F. A part that is too long,
    or that another text has already, is cut and ends in a digest of its text.

    Args:
        texts: what people named.
        folder: the directory of the files.

    Returns:
        text -> its part, which differs in this directory from the parts of all other texts.
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
    """As many of its characters as leave room for a digest."""
    while len(os.fsencode(part)) > MOST_BYTES - 9:
        part = part[: min(len(part) - 1, MOST_BYTES - 9)]
    return part


def _as_seen(part: str, cased: bool) -> str:
    return part if cased else unicodedata.normalize("NFC", part).casefold()


def same_file(names: Iterable[str], folder: Path) -> tuple[str, str] | None:
    """The first two names that would be one file or directory in the folder; None where all differ."""
    seen: dict[str, str] = {}
    cased = distinguishes_case(folder)
    for name in names:
        other = seen.setdefault(_as_seen(name, cased), name)
        if other != name:
            return other, name
    return None


def distinguishes_case(folder: Path) -> bool:
    """Whether names that differ in capitals alone are two files there. Nothing is written to find out.

    Args:
        folder: the directory; where it does not exist yet, the nearest one above it that does is asked.

    Returns:
        True also where the path has no letters, which would tell.
    """
    for place in (folder.resolve(), *folder.resolve().parents):
        turned = place.with_name(place.name.swapcase()) if place.name else place
        if turned != place and place.exists():
            try:
                return not os.path.samefile(place, turned)
            except OSError:
                return True
    return True
