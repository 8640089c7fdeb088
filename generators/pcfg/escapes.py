r"""Writes and reads names and words in the text of a grammar, with quotes and escapes, so that no character is lost.

There are three spellings (`Spelling`):

NLTK      words are in quotes, without escapes; in names, a backslash precedes a special character
PRINTED   what nltk prints: words as Python prints them ('\\' for a backslash), names without escapes
ESCAPED   words as Python writes them; in names, a backslash precedes a special character or a code: \x20, \u00a0
"""

import re
from enum import Enum

from ...errors import InputError
from .rules import Nonterminal

SPECIAL = r"""['"|\[\]#%\\]"""
"""The characters that a backslash precedes in a name. Quotes, # and % need it only at the beginning."""

SYMBOL = re.compile(rf"""(?:\\{SPECIAL}|[^\s'"|\[\]#%])(?:\\{SPECIAL}|[^\s|\[\]]|\|<[^\s>]*>)*""")
"""A nonterminal: nltk's own form, names from treebanks and from nltk's binarisation, and escaped characters."""

QUOTED = re.compile(r"""'([^']*)'|"([^"]*)\"""")
QUOTED_AND_ESCAPED = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)\"""")

UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
"""Characters that a text file or YAML does not preserve: controls, line separators, surrogates, byte order marks."""

ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
NAMED = {"n": "\n", "r": "\r", "t": "\t"}


class Spelling(Enum):
    """The spelling of names and words; see the docstring of this module."""

    NLTK = "nltk"
    PRINTED = "printed"
    ESCAPED = "escaped"


def needs_escapes(symbol: object) -> bool:
    """Whether only ESCAPED can spell this name or word."""
    text = str(symbol)
    if UNSAFE.search(text):
        return True
    if isinstance(symbol, Nonterminal):
        return bool(re.search(r"\s", text)) or text in ("->", "-->")
    return "'" in text and '"' in text


def written(symbol: object, spelling: Spelling = Spelling.NLTK) -> str:
    """The name or word in spelling NLTK or ESCAPED. Raises InputError if the spelling cannot represent it."""
    text = str(symbol)
    if not text or (spelling is Spelling.NLTK and needs_escapes(symbol)):
        raise InputError(f"{text!r} cannot be written in NLTK's notation; rename it")
    if isinstance(symbol, Nonterminal):
        plain = SYMBOL.fullmatch(text) and "\\" not in text and not text.startswith("//")
        name = text if plain else re.sub(f"({SPECIAL})", r"\\\1", text)
        name = "\\" + name if name.startswith("//") or name in ("->", "-->") else name
        return re.sub(rf"\s|{UNSAFE.pattern}", _code, name)
    quote = '"' if "'" in text and '"' not in text else "'"
    if spelling is Spelling.ESCAPED:
        text = UNSAFE.sub(_code, text.replace("\\", "\\\\").replace(quote, "\\" + quote))
    return quote + text + quote


def name_of(raw: str, spelling: Spelling) -> str:
    """The name that the text `raw` spells."""
    if "\\" not in raw or spelling is Spelling.PRINTED:
        return raw
    if spelling is Spelling.ESCAPED:
        return _unescaped(raw)
    return re.sub(rf"^\\(?=//)|\\({SPECIAL})", r"\1", raw)


def quoted_word(line: str, position: int, spelling: Spelling) -> tuple[str, int] | None:
    """Reads the quoted word that begins at a position.

    Args:
        line: the text.
        position: the position of the opening quote.
        spelling: the spelling of the word.

    Returns:
        The word and the position after it; None if the quote is not closed.
    """
    match = (QUOTED if spelling is Spelling.NLTK else QUOTED_AND_ESCAPED).match(line, position)
    if match is None:
        return None
    word = match[1] if match[1] is not None else match[2]
    return word if spelling is Spelling.NLTK else _unescaped(word, r"\\'\""), match.end()


def _code(match: re.Match[str]) -> str:
    r"""The character as \x, \u or \U followed by its code point."""
    number = ord(match[0])
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"


def _unescaped(text: str, escaped: str = "") -> str:
    """The text with Python's escapes resolved.

    Args:
        text: the spelling of a name or word.
        escaped: the characters before which a backslash is removed; if empty, all characters.

    Returns:
        The name or word.
    """

    def character(match: re.Match[str]) -> str:
        code = match[1] or match[2] or match[3]
        if code:
            number = int(code, 16)
            return chr(number) if number < 0x110000 else match[0]
        if match[4] in NAMED:
            return NAMED[match[4]]
        return match[4] if not escaped or match[4] in escaped else match[0]

    return ESCAPE.sub(character, text) if "\\" in text else text
