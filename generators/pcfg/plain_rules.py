"""Reads the plain form of probabilistic grammars: one rule per line, after its probability.

    0.7 NP -> Det N         (also  0.7 NP --> Det N, as in Johnson's inside-outside code)

A symbol without rules is a word, quoted or not. A quoted word may contain spaces.
"""

import re
import warnings
from collections.abc import Collection, Sequence

from ...errors import InputError
from .nltk_rules import (
    COMMENT,
    NO_PROBABILITY,
    NUMBER,
    PLAIN_EXAMPLE,
    TOKEN,
    Line,
    at_line,
    empty_rule,
    empty_word,
    number_of,
)
from .rules import Nonterminal, ProbabilisticProduction

PLAIN_RULE = re.compile(r"\s*(?P<probability>[-+.\d]\S*)\s+(?P<parent>\S+)\s+--?>(?=\s|$)")

WHOLE_QUOTE = re.compile(r"""('[^']*'|"[^"]*")(?=\s|$|#|//)""")
"""A quoted word before a space, a comment or the end of the line. The words 's and don't are not quoted."""

IN_A_WORD = re.compile(r"#|//")


def read_plain_rules(lines: Sequence[Line]) -> list[ProbabilisticProduction]:
    """Reads lines of one rule each. Warns once if a # or // directly after a word was read as a comment.

    Args:
        lines: the lines, without comment lines, blank lines and directives.

    Returns:
        The rules in the order of the text.

    Raises:
        InputError: names the line.
    """
    heads = [_head(line) for line in lines]
    parents = {parent for _, parent, _ in heads}
    productions, glued = [], []
    for line, (p, parent, position) in zip(lines, heads, strict=True):
        parts, cut = words_of(line, position, parents, parent)
        glued += [f"line {line.number}, after {cut}"] if cut else []
        right = [Nonterminal(part) if named else part for part, named in parts]
        if not right:
            raise InputError(at_line(line, empty_rule(parent)))
        productions.append(ProbabilisticProduction(Nonterminal(parent), right, prob=p))
    if glued:
        others = f" and {len(glued) - 1} other places" if len(glued) > 1 else ""
        warnings.warn(
            f"{glued[0]}{others}: # or // begins a comment; quote the word if it is a part of the word",
            stacklevel=4,
        )
    return productions


def _head(line: Line) -> tuple[float, str, int]:
    """(probability, left-hand side, position at which the right-hand side begins)."""
    match = PLAIN_RULE.match(line.text)
    p = number_of(match["probability"]) if match else None
    if match is None or p is None:
        expected = f"expected a probability and a rule such as {PLAIN_EXAMPLE}, as in the first rule"
        raise InputError(at_line(line, expected))
    if not 0 <= p <= 1:
        raise InputError(at_line(line, f"{match['probability']} {NO_PROBABILITY}"))
    return p, match["parent"], match.end()


def words_of(
    line: Line, position: int, symbols: Collection[str], parent: str, bars: bool = False
) -> tuple[list[tuple[str, bool]], str | None]:
    """Reads a right-hand side.

    Args:
        line: the line.
        position: where the right-hand side begins.
        symbols: the names of the symbols that have rules.
        parent: the left-hand side, for messages.
        bars: whether | may be a part; otherwise it is refused.

    Returns:
        (name, whether it is one of `symbols`) for each part, and the word directly before a comment, or None.

    Raises:
        InputError: for the empty word, and for a bar or a bracketed probability as in NLTK's notation; names the line.
    """
    parts: list[tuple[str, bool]] = []
    text = line.text
    while (token := TOKEN.search(text, position)) is not None:
        raw, position = token[0], token.start()
        quoted = WHOLE_QUOTE.match(text, position)
        if raw in symbols:
            parts.append((raw, True))
        elif raw.startswith(COMMENT):
            if parts or text[position:].strip() not in COMMENT:
                break
            parts.append((raw, False))
        elif quoted is not None:
            if len(quoted[1]) == 2:
                hint = "; the word of two apostrophes is \"''\"" if raw == "''" else ""
                raise InputError(at_line(line, empty_word(parent) + hint))
            parts.append((quoted[1][1:-1], False))
            position = quoted.end()
            continue
        else:
            cut = IN_A_WORD.search(raw)
            word = raw[: cut.start()] if cut else raw
            if (word == "|" and not bars) or _is_probability(word):
                what = (
                    "expected one right-hand side and the probability in front; "
                    "give each alternative a line of its own, and quote | and [ ] where they are words"
                )
                raise InputError(at_line(line, what))
            parts.append((_unquoted(word), False))
            if cut:
                return parts, word
        position += len(raw)
    return parts, None


def _is_probability(word: str) -> bool:
    return word[0] == "[" and word[-1] == "]" and (len(word) == 2 or NUMBER.fullmatch(word[1:-1]) is not None)


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] and word[0] in "'\"" else word
