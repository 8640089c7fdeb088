"""The output of `satlab show` as text for readers: a few sections of aligned lines."""

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from ..fonts import columns, readable, shortened
from .show import Description

COLUMNS = 118

MOST_LENGTHS = 8
"""The most rows of the table of lengths. With more lengths, neighbours share a row."""

MOST_SENTENCE_LINES = 4
"""The most lines of words of one sentence. Longer sentences are cut."""

MOST_WORDS_READ = 1000
"""The most words of one sentence that are read, more than the lines can hold."""

MOST_TREE_LINES = 24
"""The most lines of all drawn trees together. Further trees are written in brackets."""

MOST_BRACKET_LINES = 8

MOST_LETTERS = 48
"""The widest word, in columns. A wider one is shortened."""

MOST_DRAWN_WORDS = 40
MOST_DRAWN_DEPTH = 60

MOST_CLASSES = 4
"""The most closed classes of a chain that have a row."""

LABEL = 34

ELLIPSIS = " ..."
GAP = "  "
"""The space between neighbouring columns."""


def as_text(found: Description) -> str:
    """The result of `describe` as text, section by section."""
    sections = [
        ("Sentences", _sentences(found["sentences"])),
        ("Lengths", _lengths(found)),
        ("Grammar", _grammar(found["grammar"], found["max_length"]) if "grammar" in found else []),
        ("Hidden chain", _chain(found["chain"]) if "chain" in found else []),
        ("Words", _words(found)),
        ("Tasks", _tasks(found["tasks"], found["more_tasks"])),
    ]
    head = f"{found['language']}: {found['kind']}, {found['words']:,} words, sentences of at most {found['max_length']}"
    lines = [head, f"what has a standard error (+-) is from {found['samples']:,} sampled sentences"]
    for title, body in sections:
        content = list(body)
        if content:
            lines += ["", title, *(f"  {line}".rstrip() for line in content)]
    return "\n".join(lines)


def _sentences(sentences: list[Description]) -> Iterator[str]:
    room = MOST_TREE_LINES
    for sentence in sentences:
        words = [_word(word) for word in sentence["words"][:MOST_WORDS_READ]]
        more = len(sentence["words"]) - len(words)
        log_p = f"log p = {number(sentence['log_prob_nats'])} nats"
        if "states" in sentence:
            yield from _two_lines(words, sentence["states"][: len(words)], more)
            yield log_p
        else:
            lines = textwrap.wrap(" ".join(words), COLUMNS, break_on_hyphens=False) or [""]
            yield from lines[:MOST_SENTENCE_LINES]
            if more or len(lines) > MOST_SENTENCE_LINES:
                yield f"  ... {len(sentence['words'])} words"
            yield log_p
        if "tree" in sentence:
            tree = readable(sentence["tree"])
            lines = _drawn(tree, room) or ["tree, too large to draw here:", *_in_brackets(tree)]
            room -= len(lines)
            yield from lines


def _word(word: str) -> str:
    """The word on one line, in quotes if it is empty or has blanks."""
    text = shortened(readable(word), MOST_LETTERS)
    return f"'{text}'" if not text or any(map(str.isspace, text)) else text


def _two_lines(words: list[str], states: list[int], more: int) -> Iterator[str]:
    """Lines of words with their states below. `more` is the number of words that follow."""
    widths = [max(columns(word), len(str(state))) for word, state in zip(words, states, strict=True)]
    begin = 0
    for _ in range(MOST_SENTENCE_LINES):
        if begin == len(words):
            return
        end, used = begin + 1, widths[begin]
        while end < len(words) and used + 1 + widths[end] <= COLUMNS - 8:
            used += 1 + widths[end]
            end += 1
        here = slice(begin, end)
        yield "words   " + " ".join(
            " " * (w - columns(word)) + word for word, w in zip(words[here], widths[here], strict=True)
        )
        yield "states  " + " ".join(f"{state:>{w}}" for state, w in zip(states[here], widths[here], strict=True))
        begin = end
    if begin < len(words) + more:
        yield f"... {len(words) - begin + more} more words"


def _drawn(bracketed: str, room: int) -> list[str]:
    """The tree as nltk draws it; no lines if it needs more than `room` or is too wide."""
    if _depth(bracketed) > min(MOST_DRAWN_DEPTH, room):
        return []
    import nltk

    tree, stream = nltk.Tree.fromstring(bracketed), io.StringIO()
    words = tree.leaves()
    if len(words) > MOST_DRAWN_WORDS:
        return []
    # Numbers as leaves: nltk would otherwise draw words that are siblings of symbols out of order.
    for position, place in enumerate(tree.treepositions("leaves")):
        tree[place] = position
    tree.pretty_print(sentence=words, stream=stream)
    lines = stream.getvalue().rstrip().split("\n")
    return lines if len(lines) <= room and max(map(len, lines)) <= COLUMNS else []


def _in_brackets(bracketed: str) -> list[str]:
    wrap: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "subsequent_indent": "  "}
    lines = textwrap.wrap(bracketed, COLUMNS, **wrap)
    if len(lines) > MOST_BRACKET_LINES:
        lines = [*lines[:MOST_BRACKET_LINES], f"... {len(lines) - MOST_BRACKET_LINES} more lines"]
    return lines


def _depth(bracketed: str) -> int:
    depth = deepest = 0
    for character in bracketed:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _lengths(found: Description) -> Iterator[str]:
    p = {int(length): share for length, share in found["length_probability"].items()}
    yield row("words a sentence", f"{number(found['expected_length'])}, s.d. {number(found['length_sd'])}")
    if len(p) == 1:
        return
    lengths = sorted(p)
    size = math.ceil(len(lengths) / MOST_LENGTHS)
    groups = [lengths[i : i + size] for i in range(0, len(lengths), size)]
    shares = [math.fsum(p[length] for length in group) for group in groups]
    for group, share in zip(groups, shares, strict=True):
        name = str(group[0]) if len(group) == 1 else f"{group[0]} to {group[-1]}"
        yield f"  {name:<{LABEL - 2}}{share:8.4f}  {'#' * round(40 * share / max(shares))}"


def _grammar(grammar: Description, max_length: int) -> Iterator[str]:
    uncut, ambiguity = grammar["uncut"], grammar["ambiguity"]
    kinds = ", ".join(f"{grammar[kind]:,} {kind}" for kind in ("unary", "binary", "long", "lexical"))
    yield row("symbols; rules", f"{grammar['symbols']:,}; {kinds}")
    yield "without a bound on the length"
    yield row("  spectral radius", f"{number(uncut['radius'])}, distance from criticality {number(uncut['distance'])}")
    endless = uncut["endless"]
    names = ", ".join(endless[:6]) + (", ..." if len(endless) > 6 else "")
    yield row(
        "  P(a derivation ends)", number(uncut["total_mass"]) + (f"; may go on forever: {names}" if endless else "")
    )
    yield row("  words a sentence", f"{number(uncut['expected_length'])}, s.d. {number(uncut['length_sd'])}")
    yield row("  rules a tree", number(uncut["expected_rules"]))
    yield row("  derivation entropy H(tree)", nats(uncut["derivation_entropy"]))
    yield f"cut at {max_length} words"
    yield row("  P(at most so many words)", number(grammar["mass"]))
    yield row("  rules a tree", number(grammar["expected_rules"]))
    yield row("  derivation entropy H(tree)", nats(grammar["derivation_entropy"]))
    yield row("  ambiguity H(tree | sentence)", f"{estimate(ambiguity['tree_given_sentence'])} nats")
    if ambiguity["log_trees"] is None:
        yield row("  trees a sentence", "some have infinitely many: unary rules form a cycle")
    else:
        mean = {"value": math.exp(ambiguity["log_trees"]["value"])}
        mean["stderr"] = mean["value"] * (ambiguity["log_trees"]["stderr"] or 0.0)
        yield row("  trees a sentence", f"{estimate(mean)} in geometric mean")
        yield row("  sentences with several trees", estimate(ambiguity["ambiguous"]))


def _chain(chain: Description) -> Iterator[str]:
    classes, blocks = chain["classes"], chain["blocks"]
    yield row("states; blocks; closed classes", f"{chain['states']:,}; {blocks:,}; {len(classes):,}")
    if chain["transient"]:
        yield row("transient states", number(chain["transient"]))
    table: list[tuple[str, ...]] = [
        ("closed class", "P(ends here)", "2nd |eigenvalue|", "entropy rate", "most frequent state")
    ]
    for part in classes[:MOST_CLASSES]:
        few = ", ".join(map(str, part["states"][:5])) + (
            f", ... {part['states'][-1]}" if len(part["states"]) > 5 else ""
        )
        peak = max(range(len(part["states"])), key=part["stationary"].__getitem__)
        numbers = (f"{part[key]:.4f}" for key in ("weight", "second_eigenvalue", "entropy_rate"))
        often = f"{part['states'][peak]}, {number(part['stationary'][peak])} of the time"
        table.append((f"  {few:<{LABEL - 4}}", *numbers, often))
    yield from aligned(table)
    if len(classes) > MOST_CLASSES:
        yield f"  ... and {len(classes) - MOST_CLASSES} more"
    yield row("entropy rate", f"{number(chain['entropy_rate'])} nats a step")
    yield row("path entropy H(states)", f"{number(chain['path_entropy'])} nats")
    yield row(
        "effective number of states", f"{number(chain['effective_states'])} (exp of the entropy of their occupancy)"
    )
    bounds = f"{number(chain['least_emission_entropy'])} to {number(chain['greatest_emission_entropy'])}"
    yield row("emission entropy H(word | state)", f"{number(chain['emission_entropy'])} nats ({bounds} by state)")


def _words(found: Description) -> Iterator[str]:
    entropy, n = found["sentence_entropy"], found["floor"]["n"]
    yield row("sentence entropy", f"{estimate(entropy)} nats")
    yield row("perplexity a word", estimate(found["perplexity"]))
    yield row("floor (one word hidden)", f"{estimate(found['floor'])} nats a hidden word, n = {n:,}")


def _tasks(tasks: list[Description], more: int) -> Iterator[str]:
    if not tasks:
        return
    table = [("task", "classes", "majority class", "Bayes accuracy", "most frequent classes")]
    for task in tasks:
        shares = ", ".join(f"{name} {share:.3f}" for name, share in task["shares"].items())
        best = estimate(task["majority"]), estimate(task["bayes"])
        there, seen = task["num_classes"], task["classes_seen"]
        table.append((task["name"], f"{there}" if seen == there else f"{seen} of {there} seen", *best, shares))
    yield from aligned(table)
    if more:
        yield f"... and {more} more tasks"


def row(label: str, value: str) -> str:
    """A line of the text: a label, and its value at the same column in every line."""
    return f"{label:<{LABEL - len(GAP)}}{GAP}{value}"


def aligned(table: Sequence[tuple[str, ...]]) -> list[str]:
    """The rows of a table as lines.

    Args:
        table: its cells, as texts.

    Returns:
        Lines in which the first and the last column are left-aligned and the numbers between them right-aligned. The
        last column is cut if a line would be too long.
    """
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    room = max(len(ELLIPSIS), COLUMNS - sum(widths) - len(GAP) * len(widths))
    lines = []
    for first, *numbers, last in table:
        cells = [f"{first:<{widths[0]}}", *(f"{cell:>{w}}" for cell, w in zip(numbers, widths[1:], strict=True))]
        lines.append(GAP.join([*cells, textwrap.shorten(last, room, placeholder=ELLIPSIS)]))
    return lines


def number(value: float | None) -> str:
    """The number with six significant digits; "0" if it is below rounding, "infinite" for None."""
    if value is None:
        return "infinite"
    return "0" if abs(value) < 1e-12 else f"{value:.6g}"


def nats(value: float | None) -> str:
    """An entropy as text with its unit; "infinite" for None."""
    return number(value) + ("" if value is None else " nats")


def estimate(given: dict[str, Any]) -> str:
    """The value and its standard error, with as many digits as the error justifies: 1.0299 +- 0.0009."""
    value, stderr = given["value"], given["stderr"]
    if value is None or not stderr or stderr < 1e-12:
        return number(value)
    digits = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:.{digits}f} +- {stderr:.{digits}f}"
