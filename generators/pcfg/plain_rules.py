"""The plain form of probabilistic grammars, one rule a line with its probability in front.

    0.7 NP -> Det N         (also  0.7 NP --> Det N ; Johnson's inside-outside code)

A symbol that never stands on a left-hand side is a word, quoted or not; quotes are read before blanks.
"""

import re
import warnings
from collections.abc import Collection, Sequence

from nltk.grammar import Nonterminal, ProbabilisticProduction

from .nltk_rules import COMMENT, NUMBER, PLAIN_EXAMPLE, TOKEN, Line, empty_rule, empty_word, number_of, wrong_line

PLAIN_RULE = re.compile(r"\s*(?P<probability>[-+.\d]\S*)\s+(?P<parent>\S+)\s+--?>(?=\s|$)")

WHOLE_QUOTE = re.compile(r"""('[^']*'|"[^"]*")(?=\s|$|#|//)""")
"""Quotes around a word that what is behind them ends; 's and don't have none."""

IN_A_WORD = re.compile(r"#|//")


def read_plain_rules(lines: Sequence[Line]) -> list[ProbabilisticProduction]:
    """The rules of lines that hold one each, as written. Raises InputError, naming the line.

    Warns, once, where # or // begins a comment right behind a word.
    """
    heads = [_head(line) for line in lines]
    parents = {parent for _, parent, _ in heads}
    productions, glued = [], []
    for line, (p, parent, position) in zip(lines, heads, strict=True):
        parts, cut = words_of(line, position, parents, parent)
        glued += [f"line {line.number}, behind {cut}"] if cut else []
        right = [Nonterminal(part) if named else part for part, named in parts]
        if not right:
            raise wrong_line(line, empty_rule(parent))
        productions.append(ProbabilisticProduction(Nonterminal(parent), right, prob=p))
    if glued:
        others = f" and {len(glued) - 1} other places" if len(glued) > 1 else ""
        warnings.warn(
            f"{glued[0]}{others}: # or // taken for the beginning of a comment; quote the word if it is part of it",
            stacklevel=4,
        )
    return productions


def _head(line: Line) -> tuple[float, str, int]:
    """Probability, left-hand side and where the right-hand side begins."""
    match = PLAIN_RULE.match(line.text)
    p = number_of(match["probability"]) if match else None
    if match is None or p is None:
        raise wrong_line(line, f"expected a probability and a rule such as {PLAIN_EXAMPLE}, as the first rule has them")
    if not 0 <= p <= 1:
        raise wrong_line(line, f"{match['probability']} is no probability between 0 and 1; correct it")
    return p, match["parent"], match.end()


def words_of(
    line: Line, position: int, symbols: Collection[str], parent: str, bars: bool = False
) -> tuple[list[tuple[str, bool]], str | None]:
    """([(name, whether it is one of `symbols`)] of a right-hand side, the word that a comment cut short, if one did).

    bars: a | is one of the parts, not refused. Raises InputError, naming the line, for the empty word and for what
    NLTK's notation would have there.
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
                raise wrong_line(line, empty_word(parent) + hint)
            parts.append((quoted[1][1:-1], False))
            position = quoted.end()
            continue
        else:
            cut = IN_A_WORD.search(raw)
            word = raw[: cut.start()] if cut else raw
            if (word == "|" and not bars) or _is_probability(word):
                raise wrong_line(
                    line,
                    "expected one right-hand side and the probability in front; "
                    "give each alternative a line of its own, and quote | and [ ] where they are words",
                )
            parts.append((_unquoted(word), False))
            if cut:
                return parts, word
        position += len(raw)
    return parts, None


def _is_probability(word: str) -> bool:
    return word[0] == "[" and word[-1] == "]" and (len(word) == 2 or NUMBER.fullmatch(word[1:-1]) is not None)


def _unquoted(word: str) -> str:
    return word[1:-1] if len(word) > 2 and word[0] == word[-1] and word[0] in "'\"" else word
