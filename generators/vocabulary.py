"""Vocabularies: checks that words can be stored in every file format of satlab, and defines the special tokens."""

import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable
from numbers import Integral

from ..errors import InputError

PAD, MASK, CLS = 0, 1, 2
"""Offsets of the special tokens. The words of a vocabulary of size V are the tokens 0 .. V - 1.

V + PAD follows a sentence's end, V + MASK replaces a hidden word, and V + CLS precedes the first word.
"""

SPECIAL_TOKENS = 3
"""The number of special tokens."""


def checked_words(words: Iterable[object], count: int) -> tuple[str, ...]:
    """The words as strings.

    Args:
        words: distinct strings; integers become strings.
        count: the required number of words.

    Returns:
        The strings.

    Raises:
        InputError: for another number of words, a repeated word, a word that is neither a string nor an integer, an
            empty word, a word that ends with NUL (arrays of strings drop it), and a word with half a surrogate pair
            (which is invalid Unicode).
    """
    checked = tuple(_checked(word) for word in words)
    counts = Counter(checked)
    if len(checked) != count or len(counts) != count:
        twice = next((f"; {word!r} is given twice" for word, times in counts.items() if times > 1), "")
        raise InputError(
            f"{len(counts)} different words for {count} columns of emission{twice}; give one distinct word for "
            "each column"
        )
    warn_of_lookalikes(checked)
    return checked


def warn_of_lookalikes(words: Iterable[str]) -> None:
    """Warns about the first two words that look alike because they differ only in Unicode normalisation (NFC, NFD)."""
    seen: dict[str, str] = {}
    for word in words:
        if not word.isascii() and (other := seen.setdefault(unicodedata.normalize("NFC", word), word)) != word:
            warnings.warn(
                f"the words {other!a} and {word!a} look alike ({word}) but count as two words; if they are one, "
                "write both in the same Unicode form (NFC)",
                stacklevel=3,
            )
            return


def _checked(word: object) -> str:
    """One word as a string; see `checked_words`."""
    if isinstance(word, Integral) and not isinstance(word, bool):
        return str(word)
    if not isinstance(word, str):
        raise InputError(f"the word {word!r} is not a string, expected strings; put it in quotes")
    text = str(word)
    if not text:
        raise InputError("a word is empty (''), expected at least one character; name it, for example 'e'")
    if text.endswith("\0") or any("\ud800" <= character <= "\udfff" for character in text):
        problem = "ends with NUL" if text.endswith("\0") else "holds half a surrogate pair"
        raise InputError(f"the word {text!r} {problem}, expected one that a file can hold; rename it")
    return text
