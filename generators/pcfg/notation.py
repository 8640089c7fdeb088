"""How grammars are written down: NLTK's notation and the plain form, read line by line.

NLTK's:     NP -> Det N [0.7] | 'she' [0.3]      words are quoted, alternatives share a line
plain:      0.7 NP -> Det N                      one rule a line (Johnson's inside-outside code); also  0.7 NP --> Det N
            0.3 NP -> she                        a symbol that never stands on a left-hand side is a word, quoted or not

Both know whole-line comments (#), blank lines and `%start S`; without it the first left-hand side is the start. The
first rule decides which of the two a text is in.

A name in NLTK's notation may hold any character but blanks: a backslash stands before those that mean something else, '
and " and # and % and | and [ and ] and the backslash itself. So the treebank's tags ADVP|PRT and # are written
ADVP\\|PRT and \\#. What nltk's binarisation makes, such as NP|<DT-NN>, needs none.
"""

import math
import re

from nltk.grammar import Nonterminal, ProbabilisticProduction, read_grammar

from ...errors import InputError

SPECIAL = r"""['"|\[\]#%\\]"""
"""What stands behind a backslash where a name holds it (quotes, # and % need that at its beginning alone)."""

SYMBOL = re.compile(rf"""((?:\\{SPECIAL}|[^\s'"|\[\]#%])(?:\\{SPECIAL}|[^\s|\[\]]|\|<[^\s>]*>)*)\s*""")
"""A nonterminal: NLTK's own, the names that treebanks and nltk's binarisation give, and escaped characters."""

PLAIN_RULE = re.compile(r"\s*(?P<probability>[-+.\d]\S*)\s+(?P<parent>\S+)\s+--?>(?P<right>(?:\s.*)?)$")

EXAMPLE = "NP -> Det N [0.7] | 'she' [0.3]"
PLAIN_EXAMPLE = "0.7 NP -> Det N"


def parse(text: str) -> tuple[Nonterminal, list[ProbabilisticProduction]]:
    """The start symbol and the rules of a text in either notation, as written: nothing is checked beyond the syntax.

    Raises InputError for a text without rules, and naming the line for one that is no rule.
    """
    rules = [line for line in text.split("\n") if line.strip() and not line.lstrip().startswith(("#", "%"))]
    if not rules:
        raise InputError(f"the grammar has no rules, expected lines such as {EXAMPLE}, or {PLAIN_EXAMPLE}")
    if PLAIN_RULE.match(rules[0]):
        return _parse_plain(text)
    try:
        start, productions = read_grammar(text, _read_symbol, probabilistic=True)
    except (ValueError, IndexError) as error:
        expected = f"expected a rule such as {EXAMPLE}, or, in all lines, {PLAIN_EXAMPLE}"
        raise InputError(f"{str(error).rstrip()}; {expected}") from None
    return start, productions


def written(symbol: object) -> str:
    """A symbol or word as NLTK's notation has it. Raises InputError for a name with blanks, a word with both quotes."""
    text = str(symbol)
    if not text.isprintable():
        raise InputError(f"{text!r} holds a character that is not printable: rename it")
    if isinstance(symbol, Nonterminal):
        if text and not re.search(r"\s", text):
            plain = SYMBOL.fullmatch(text) and "\\" not in text
            return text if plain else re.sub(f"({SPECIAL})", r"\\\1", text)
    elif "'" not in text and "\n" not in text:
        return f"'{text}'"
    elif '"' not in text and "\n" not in text:
        return f'"{text}"'
    raise InputError(f"{text!r} cannot be written in NLTK's notation: rename it")


def decimal(p: float) -> str:
    """The shortest digits that read back as p, without an exponent (NLTK's notation knows none)."""
    text = repr(float(p))
    return text if "e" not in text else f"{p:.{17 - math.floor(math.log10(p))}f}"


def _read_symbol(line: str, position: int) -> tuple[Nonterminal, int]:
    match = SYMBOL.match(line, position)
    if not match:
        raise ValueError(f"expected a nonterminal, found: {line[position:]}")
    return Nonterminal(re.sub(rf"\\({SPECIAL})", r"\1", match.group(1))), match.end()


def _parse_plain(text: str) -> tuple[Nonterminal, list[ProbabilisticProduction]]:
    start, rules = None, []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        directive = re.fullmatch(r"\s*%start\s+(\S+)\s*", line)
        if directive:
            start = directive[1]
            continue
        rules.append(_plain_rule(line, number))
    parents = {parent for _, parent, _ in rules}

    def symbol(part: str) -> Nonterminal | str:
        return Nonterminal(part) if part in parents else _unquoted(part)

    productions = [
        ProbabilisticProduction(Nonterminal(parent), tuple(map(symbol, right)), prob=p) for p, parent, right in rules
    ]
    return Nonterminal(start) if start else productions[0].lhs(), productions


def _plain_rule(line: str, number: int) -> tuple[float, str, list[str]]:
    match = PLAIN_RULE.match(line)
    try:
        p = float(match["probability"]) if match else math.nan
    except ValueError:
        p = math.nan
    if match is None or math.isnan(p):
        raise InputError(
            f"line {number}: {line.strip()}: expected a probability and a rule such as {PLAIN_EXAMPLE}, "
            "as the first rule has them"
        )
    right = match["right"].split()
    if "|" in right or re.fullmatch(r"\[[\d.]*\]", right[-1] if right else ""):
        raise InputError(
            f"line {number}: {line.strip()}: expected one right-hand side and the probability in front; "
            "give each alternative a line of its own, and quote | and [ ] where they are words"
        )
    return p, match["parent"], right


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] and word[0] in "'\"" else word
