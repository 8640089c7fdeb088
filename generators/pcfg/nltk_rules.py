"""Reads NLTK's notation for probabilistic grammars, line by line, as people write it and as nltk prints it.

    NP -> Det N [0.7] | 'she' [0.3]

Each alternative has a probability at its end or its beginning. After a probability at the end comes a bar, a comment or
the end of the line. Before it, a bar, # or // is part of a name if a symbol of that name has rules, as for ADVP|PRT and
# in treebanks.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import InputError
from .escapes import SYMBOL, Spelling, name_of, quoted_word
from .rules import Nonterminal, ProbabilisticProduction

EXAMPLE = "NP -> Det N [0.7] | 'she' [0.3]"
PLAIN_EXAMPLE = "0.7 NP -> Det N"
EXPECTED = f"expected a rule such as {EXAMPLE}, or, in all lines, {PLAIN_EXAMPLE}"
NO_PROBABILITY = "is not a probability between 0 and 1; correct it (counts: divide them by their sum)"

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
PROBABILITY = re.compile(r"\[([^\[\]]*)\]?")

LEFT = re.compile(r"\s*(\S+)\s+->")
TOKEN = re.compile(r"\S+")
COMMENT = ("#", "//")
"""The markers that begin a comment outside quotes."""

COMMENT_LIKE = re.compile(r"\s*(?:#(?:\^<\S*|\|<\S*)?|//|%)\s+->.*\[\s*[\d.]")
"""A rule for #, // or % (# perhaps with a suffix from nltk's binarisation), not a comment and not a directive."""

MOST_SHOWN = 160
"""The number of characters of a line that an error shows."""

RightSide = tuple[Nonterminal | str, ...]


class Line(NamedTuple):
    """A line of a grammar's text and its number, which counts from 1."""

    number: int
    text: str


class Names(NamedTuple):
    """The symbols that have rules.

    Args:
        known: their names.
        raw: their names as spelled on left-hand sides.
    """

    known: set[str]
    raw: set[str]


def at_line(line: Line, what: str) -> str:
    """The message for a line: its number and text, then `what`."""
    shown = line.text.strip()
    shown = shown if len(shown) <= MOST_SHOWN else shown[: MOST_SHOWN - 3] + "..."
    return f"line {line.number}: {shown}: {what}"


def number_of(text: str) -> float | None:
    """The number that the text spells; None if it is not a number, or too large."""
    return float(text) if NUMBER.fullmatch(text) and abs(float(text)) < 1e300 else None


def read_rules(lines: Sequence[Line], spelling: Spelling) -> list[ProbabilisticProduction]:
    """Reads lines, each with the rules of one symbol.

    Args:
        lines: the lines, without comment lines, blank lines and directives.
        spelling: the spelling of names and words.

    Returns:
        The rules in the order of the text.

    Raises:
        InputError: names the line and the alternative.
    """
    heads = [_left_side(line, spelling) for line in lines]
    names = Names({name for name, _, _ in heads}, {raw for _, raw, _ in heads})
    productions = []
    for line, (name, _, position) in zip(lines, heads, strict=True):
        parent = Nonterminal(name)
        for right, p in _RightSides(line, name, names, spelling).read(position):
            productions.append(ProbabilisticProduction(parent, right, prob=p))
    return productions


def _left_side(line: Line, spelling: Spelling) -> tuple[str, str, int]:
    """(name, its spelling, position at which the right-hand side begins)."""
    match = LEFT.match(line.text)
    if match is None:
        raise InputError(at_line(line, f"expected an arrow, ->, after one nonterminal; {EXPECTED}"))
    raw = match[1]
    if spelling is not Spelling.PRINTED and _is_quoted(raw):
        raise InputError(at_line(line, f"{raw} is a word, and words have no rules; {EXPECTED}"))
    return name_of(raw, spelling), raw, match.end()


def _is_quoted(raw: str) -> bool:
    return len(raw) > 2 and raw[0] in "'\"" and raw[-1] == raw[0]


class _RightSides:
    """The alternatives of one line."""

    def __init__(self, line: Line, parent: str, names: Names, spelling: Spelling) -> None:
        self.line, self.parent, self.names, self.spelling = line, parent, names, spelling
        self.found: list[tuple[RightSide, float]] = []
        self._begin()

    def _begin(self) -> None:
        self.parts: list[Nonterminal | str] = []
        self.p: float | None = None
        self.closed = False

    def read(self, position: int) -> list[tuple[RightSide, float]]:
        """(right-hand side, probability) of each alternative from this position on."""
        text = self.line.text
        while (token := TOKEN.search(text, position)) is not None:
            position, raw = token.start(), token[0]
            named = self._name(raw)
            if named is None and raw.startswith(COMMENT):
                break
            if named is not None:
                self._add(Nonterminal(named))
                position += len(raw)
            elif raw[0] == "|":
                self._finish()
                position += 1
            elif raw[0] == "[":
                position = self._probability(position)
            elif raw[0] in "'\"":
                position = self._word(position)
            else:
                position = self._new_name(position)
        self._finish()
        return self.found

    def _name(self, raw: str) -> str | None:
        """The name, if a symbol of this name has rules; None otherwise, and after a probability."""
        if self.closed or _is_quoted(raw) or (raw[0] == "[" and number_of(raw[1:].partition("]")[0]) is not None):
            return None
        # A quote begins a word, unless a left-hand side has the same spelling, without a backslash.
        if raw[0] in "'\"" and raw not in self.names.raw:
            return None
        name = name_of(raw, self.spelling)
        return name if name in self.names.known else None

    def _new_name(self, position: int) -> int:
        match = SYMBOL.match(self.line.text, position)
        if match is None:
            raise self._wrong(f"expected a nonterminal, found {self.line.text[position:].split()[0]}; {EXPECTED}")
        raw = match[0]
        before = re.match(r"[^'\"\\]+", raw)
        if before is not None and len(before[0]) < len(raw) and before[0] in self.names.known:
            # As in nltk, a word may follow a name without a space.
            raw = before[0]
        self._add(Nonterminal(name_of(raw, self.spelling)))
        return position + len(raw)

    def _word(self, position: int) -> int:
        found = quoted_word(self.line.text, position, self.spelling)
        if found is None:
            raise self._wrong(
                f"the quote before {self.line.text[position + 1 :].split(' ')[0]} is not closed; {EXPECTED}"
            )
        if not found[0]:
            raise self._wrong(empty_word(self.parent))
        self._add(found[0])
        return found[1]

    def _probability(self, position: int) -> int:
        match = PROBABILITY.match(self.line.text, position)
        assert match is not None
        p = number_of(match[1].strip()) if match[0].endswith("]") else None
        if p is None or p < 0:
            raise self._wrong(f"{match[0].strip()} is not a probability; {EXPECTED}")
        if p > 1:
            raise self._wrong(f"{match[0]} {NO_PROBABILITY}")
        if self.p is not None:
            raise self._wrong(f"{self._which()} has two probabilities, expected one; remove the other, or add a |")
        self.p, self.closed = p, bool(self.parts)
        return match.end()

    def _add(self, part: Nonterminal | str) -> None:
        if self.closed:
            raise self._wrong(f"'{part}' follows the probability of {self._which()}; {EXPECTED}")
        self.parts.append(part)

    def _finish(self) -> None:
        if not self.parts:
            raise self._wrong(empty_rule(self.parent))
        if self.p is None:
            raise self._wrong(f"{self._which()} has no probability; {EXPECTED}")
        self.found.append((tuple(self.parts), self.p))
        self._begin()

    def _which(self) -> str:
        """The alternative being read, by number and symbols."""
        shown = " ".join(str(part) if isinstance(part, Nonterminal) else repr(part) for part in self.parts[:4])
        return f"alternative {len(self.found) + 1} ({shown}{' ...' if len(self.parts) > 4 else ''})"

    def _wrong(self, what: str) -> InputError:
        return InputError(at_line(self.line, what))


def empty_rule(parent: object) -> str:
    """The message for a rule without a right-hand side."""
    return f"the rule '{parent} ->' is empty, expected at least one symbol; rewrite the grammar without it"


def empty_word(parent: object) -> str:
    """The message for a rule that contains the empty word."""
    return (
        f"a rule of {parent} holds the empty word '' and so is an empty rule, expected at least one "
        "character between the quotes; remove the rule, or name a word such as 'e'"
    )
