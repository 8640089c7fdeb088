r"""Reads and writes the text of a grammar, in NLTK's notation or in the plain form.

NLTK's:     NP -> Det N [0.7] | 'she' [0.3]      words are quoted, alternatives share a line
plain:      0.7 NP -> Det N                      one rule per line, also  0.7 NP --> Det N
            0.3 NP -> she                        (Johnson's inside-outside code)

In the plain form, a symbol without rules is a word, quoted or not. The first rule decides which form a text has.

Both forms may contain comments (from # or // to the end of the line, outside quotes), blank lines and `%start S`.
Without %start, the first left-hand side is the start symbol. If there are several, the last one counts, as in nltk. The
text that nltk prints begins with a heading, which names the start symbol.

A name in NLTK's notation may contain any character except white space. A backslash precedes each special character:
' " # % | [ ] and the backslash itself. So the treebank's tags ADVP|PRT and # are spelled ADVP\|PRT and \#; if they have
rules, they need no backslash. In a text with a line `%escapes`, names and words may contain any character; see
`escapes`.
"""

import math
import re
import warnings
from collections.abc import Sequence
from typing import NamedTuple

from ...errors import InputError
from ..latent.stochastic import TOLERANCE
from .escapes import QUOTED, Spelling, name_of, needs_escapes, written
from .nltk_rules import COMMENT, COMMENT_LIKE, EXAMPLE, EXPECTED, LEFT, PLAIN_EXAMPLE, Line, at_line, read_rules
from .plain_rules import PLAIN_RULE, read_plain_rules
from .rules import Nonterminal, ProbabilisticProduction

HEADING = re.compile(r"\s*Grammar with (\d+) productions?(?: \(start state = (.*)\))?\s*")
"""The line that nltk prints above a grammar's rules."""

NLTK_TOLERANCE = 1.01 * 0.01
"""The distance from one that nltk allows for a sum of probabilities, plus 1 % for the six digits that it prints."""

ESCAPES = "%escapes"

CLOSED_BY_COMMENT = re.compile(r"\]\s*(?:#|//)")
"""Matches lines that end in a comment. A backslash at the end of such a line does not join the next line."""


class Text(NamedTuple):
    """A parsed grammar. Only its syntax is checked.

    Args:
        start: the start symbol.
        productions: the rules in the order of the text.
        tolerance: the allowed distance from one of the sum of a symbol's probabilities.
    """

    start: Nonterminal
    productions: list[ProbabilisticProduction]
    tolerance: float


class _Lines(NamedTuple):
    """The lines of a text: its rules, its directives, and nltk's heading if there is one."""

    rules: list[Line]
    directives: list[Line]
    heading: re.Match[str] | None


def parse(text: str) -> Text:
    """Reads the text of a grammar.

    Args:
        text: the text, in either form.

    Returns:
        Its start symbol, its rules and the tolerance of its form.

    Raises:
        InputError: for a text without rules, and for a line that is neither a rule nor a directive, with its number.
    """
    rules, directives, heading = _lines(text)
    if not rules:
        raise InputError(f"the grammar has no rules, expected lines such as {EXAMPLE}, or {PLAIN_EXAMPLE}")
    plain = heading is None and PLAIN_RULE.match(rules[0].text) is not None
    spelling = Spelling.NLTK if heading is None else Spelling.PRINTED
    if any(line.text.split() == [ESCAPES] for line in directives):
        spelling = Spelling.ESCAPED
    start = _start(directives, spelling, plain)
    if plain:
        productions = read_plain_rules(rules)
        return Text(Nonterminal(start) if start else productions[0].lhs(), productions, TOLERANCE)
    productions = read_rules(_joined(rules), spelling)
    if heading is None:
        return Text(Nonterminal(start) if start else productions[0].lhs(), productions, TOLERANCE)
    if int(heading[1]) != len(productions):
        warnings.warn(
            f"the heading promises {heading[1]} rules, but {len(productions)} follow; check that the file is complete",
            stacklevel=3,
        )
    start = start or heading[2]
    return Text(Nonterminal(start) if start else productions[0].lhs(), productions, NLTK_TOLERANCE)


def text_of(start: Nonterminal, productions: Sequence[ProbabilisticProduction]) -> str:
    """The rules in NLTK's notation, one per line, with exact probabilities; with `%escapes` if a name needs it."""
    symbols = {start, *(part for production in productions for part in (production.lhs(), *production.rhs()))}
    escaped = any(map(needs_escapes, symbols))
    spelling = Spelling.ESCAPED if escaped else Spelling.NLTK
    as_written = {symbol: written(symbol, spelling) for symbol in symbols}
    lines = [*([ESCAPES] if escaped else []), f"%start {as_written[start]}"]
    for production in productions:
        right = " ".join(as_written[part] for part in production.rhs())
        lines.append(f"{as_written[production.lhs()]} -> {right} [{decimal(production.prob())}]")
    return "\n".join(lines) + "\n"


def decimal(p: float) -> str:
    """Digits that read back as p, without an exponent, because NLTK's notation has none."""
    text = repr(float(p))
    return text if "e" not in text else f"{p:.{17 - math.floor(math.log10(p))}f}"


def _lines(text: str) -> _Lines:
    rules: list[Line] = []
    directives: list[Line] = []
    heading = None
    for number, line in enumerate(text.split("\n"), 1):
        bare = line.strip()
        if not bare:
            continue
        if COMMENT_LIKE.match(line):
            rules.append(Line(number, line))
        elif bare.startswith("%"):
            directives.append(Line(number, line))
        elif heading is None and not rules and HEADING.fullmatch(line):
            heading = HEADING.fullmatch(line)
        elif not bare.startswith(COMMENT) or (heading is not None and LEFT.match(line) and bare[0] == "/"):
            rules.append(Line(number, line))
    return _Lines(rules, directives, heading)


def _joined(lines: list[Line]) -> list[Line]:
    """Joins each line that ends in a backslash with the next line, as in NLTK's notation."""
    joined: list[Line] = []
    begun: Line | None = None
    for line in lines:
        text = line.text.strip() if begun is None else f"{begun.text} {line.text.strip()}"
        number = line.number if begun is None else begun.number
        goes_on = text.endswith("\\") and not CLOSED_BY_COMMENT.search(QUOTED.sub("", text))
        begun = Line(number, text[:-1].rstrip()) if goes_on else None
        if begun is None:
            joined.append(Line(number, text))
    return joined if begun is None else [*joined, begun]


def _start(directives: list[Line], spelling: Spelling, plain: bool) -> str | None:
    """The symbol of the last %start; None if there is none. Warns once if several name different symbols."""
    starts: dict[str, int] = {}
    for line in directives:
        what, *rest = line.text.split()
        if line.text.split() == [ESCAPES] and not plain:
            continue
        if what != "%start" or not rest or (len(rest) > 1 and not rest[1].startswith(COMMENT)):
            expected = f"expected a probability and a rule such as {PLAIN_EXAMPLE}" if plain else EXPECTED
            raise InputError(at_line(line, f"{expected}, or %start and a symbol"))
        symbol = rest[0] if plain else name_of(rest[0], spelling)
        starts.pop(symbol, None)
        starts[symbol] = line.number
    if len(starts) > 1:
        named = ", ".join(f"%start {symbol} (line {number})" for symbol, number in starts.items())
        remedy = f"remove the other{'s' if len(starts) > 2 else ''}"
        warnings.warn(f"{named}: only the last counts, so {symbol} is the start symbol; {remedy}", stacklevel=4)
    return list(starts)[-1] if starts else None
