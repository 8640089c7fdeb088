"""Text in pictures: drawn literally, in installed fonts that have its characters.

No text is read as mathematics. Characters without a shape (a tab, a line break) are written as escapes. A character
that no installed font has is drawn as MISSING, and `warn_of_missing` names all such characters in one line.
"""

import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, FontProperties, findfont, fontManager, get_font, weight_dict
from matplotlib.text import Text
from matplotlib.textpath import TextPath

FAMILY = "DejaVu Sans"
"""The font that comes with matplotlib. It draws every character that it has."""

MISSING = "\u25a1"
ELLIPSIS = "\u2026"
MOST_NAMED = 5
"""The most missing characters that a warning names."""

JOINERS = "\u200c\u200d\u200e\u200f"
"""Invisible characters that are kept, because they affect how their neighbours are drawn. All others are removed."""

NORMAL_WEIGHT = 400


def readable(text: str) -> str:
    """The text with control characters, line breaks and lone surrogates as escapes, and without invisible ones."""
    return text if text.isascii() and text.isprintable() else "".join(map(_shown, text))


def _shown(character: str) -> str:
    kind = unicodedata.category(character)
    if kind in ("Cc", "Cs", "Zl", "Zp"):
        # Python decodes an invalid byte b as the lone surrogate U+DC00 + b.
        byte = ord(character) - 0xDC00
        return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else ascii(character)[1:-1]
    if kind == "Cf" or 0xFE00 <= ord(character) <= 0xFE0F or 0xE0100 <= ord(character) <= 0xE01EF:
        return character if character in JOINERS else ""
    return " " if kind == "Zs" and not _in_family(character) else character


def shortened(text: str, most: int) -> str:
    """The text in at most `most` columns: a longer text becomes its beginning, an ellipsis and its end."""
    if columns(text) <= most:
        return text
    end = _beginning(text[::-1], (most - 1) // 3)[::-1]
    return _beginning(text, most - 1 - columns(end)) + ELLIPSIS + end


def _beginning(text: str, room: int) -> str:
    for end in range(len(text)):
        room -= columns(text[end])
        if room < 0:
            return text[:end]
    return text


def columns(text: str) -> int:
    """The width of the text in a monospaced font, in columns: two for an ideograph, none for a combining accent."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


@dataclass(frozen=True)
class Lettering:
    """The fonts of a picture.

    Args:
        families: their names. The first that has a character draws it.
        missing: the characters that none of them has.
    """

    families: tuple[str, ...]
    missing: frozenset[str]

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Lettering":
        """The fonts for texts that `readable` returned."""
        characters = frozenset().union(*texts) - {"\n"}
        more, missing = _beyond(frozenset(c for c in characters if not _in_family(c)))
        return cls((FAMILY, *more), missing)

    def font(self, size: float) -> FontProperties:
        """The properties of a text in these fonts, at `size` points."""
        return FontProperties(family=list(self.families), size=size)

    def shown(self, text: str) -> str:
        """The text with MISSING for each character that no font has."""
        return "".join(MISSING if c in self.missing else c for c in text) if self.missing else text


def fit_fonts(figure: Figure) -> frozenset[str]:
    """Sets fonts that have the characters of the figure's texts. Returns those that no font has, drawn as MISSING."""
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text)]
    content = {id(text): "\n".join(map(readable, text.get_text().split("\n"))) for text in texts}
    lettering = Lettering.of(content.values())
    for text in texts:
        shown = lettering.shown(content[id(text)])
        if shown != text.get_text():
            text.set_text(shown)
        if len(lettering.families) > 1:
            text.set_fontfamily(list(lettering.families))
    return lettering.missing


def warn_of_missing(characters: Iterable[str]) -> None:
    """Warns, in one line, about the characters that no installed font has, if there are any."""
    missing = sorted(characters)
    if missing:
        named = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:MOST_NAMED])
        more = f" and {len(missing) - MOST_NAMED} more characters" if len(missing) > MOST_NAMED else ""
        warnings.warn(
            f"no installed font has {named}{more}: drawn as {MISSING}; install one that does, such as Noto Sans",
            stacklevel=2,
        )


def text_width(text: str, font: FontProperties) -> float:
    """The width of the text in points."""
    return _width(text, tuple(font.get_family()), float(font.get_size_in_points()))


@lru_cache(100_000)
def _width(text: str, families: tuple[str, ...], size: float) -> float:
    # matplotlib has no outline for a text of blanks.
    inked = text if text.strip() else "-" * max(1, len(text))
    path = TextPath((0, 0), inked.replace("$", r"\$"), prop=FontProperties(family=list(families), size=size))
    return float(path.get_extents().x1)


@cache
def _in_family(character: str) -> bool:
    return ord(character) in get_font(findfont(FontProperties(family=FAMILY))).get_charmap()


@lru_cache(64)
def _beyond(wanted: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """(families that together draw all wanted characters that any installed font draws, the remaining characters)."""
    if not wanted:
        return (), wanted
    having = {family: _having(entry, wanted) for family, entry in sorted(_regular().items())}
    chosen: list[str] = []
    missing = wanted
    while missing and having:
        # Among equals, a sans-serif font matches FAMILY best.
        best = max(having, key=lambda family: (len(having[family] & missing), "Sans" in family))
        found = having.pop(best) & missing
        if not found:
            break
        if drawn := frozenset(c for c in found if _has_outline(best, c)):
            chosen.append(best)
            missing -= drawn
    return tuple(chosen), missing


def _regular() -> dict[str, FontEntry]:
    """The upright font of normal weight of each installed family, or the closest one."""

    def distance(entry: FontEntry) -> tuple[bool, float]:
        weight = weight_dict.get(entry.weight, entry.weight) if isinstance(entry.weight, str) else entry.weight
        return entry.style != "normal", abs(float(weight) - NORMAL_WEIGHT)

    found: dict[str, FontEntry] = {}
    for entry in fontManager.ttflist:
        # Fonts of last resort draw a box for every character.
        if "Last Resort" not in entry.name and (
            entry.name not in found or distance(entry) < distance(found[entry.name])
        ):
            found[entry.name] = entry
    return found


def _having(entry: FontEntry, wanted: frozenset[str]) -> frozenset[str]:
    try:
        covered = get_font(entry.fname).get_charmap()
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(c for c in wanted if ord(c) in covered)


def _has_outline(family: str, character: str) -> bool:
    """Whether matplotlib can draw the character in this family. It cannot draw bitmaps, such as some emoji."""
    try:
        font = get_font(findfont(FontProperties(family=family), fallback_to_default=False))
        font.set_size(12, 72)
        return ord(character) in font.get_charmap() and bool(font.load_char(ord(character)).width > 0)
    except (OSError, RuntimeError, ValueError):
        return False
