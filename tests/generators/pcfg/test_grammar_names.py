"""Every name that a grammar may hold is written and read back, in .pcfg and in the language's YAML."""

import nltk
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.families.base import language_of
from satlab.generators.pcfg.grammar import check, read_text
from satlab.generators.pcfg.rules import Nonterminal, ProbabilisticProduction, of_nltk

ODD = [
    "\\",
    "\\\\n",
    "a\\b",
    "New York",
    " a ",
    "'",
    '"',
    "both ' and \"",
    "می\u200cروم",
    "\u200d",
    "10\u00a0000",
    "tab\there",
    "two\nlines",
    "\r\x85\u2028\ufeff",
    "🦜",
    "e\u0301",
    "é",
    "x" * 300,
    "\x00\x07",
    "//",
    "#",
    "%start",
    "->",
    "|",
    "[0.5]",
    "''",
    "null",
    "=",
    "\\x41",
    "\\u0041",
    "ADVP|PRT",
    "S|<VP-.>",
    "%escapes",
    "0.5",
]
NAMES = st.one_of(
    st.sampled_from(ODD),
    st.text(min_size=1, max_size=8),
    st.text(alphabet="\\'\"#%|[]/ ->.0n\n\t<x", min_size=1, max_size=6),
)


def grammar_of(names, words):
    """Every name in a rule of its own, beside the next, and every word in several places."""
    symbols = [Nonterminal(name) for name in names]
    rules = [(symbols[0], (symbols[-1], words[0]), 0.5), (symbols[0], (words[-1],), 0.5)]
    for i, symbol in enumerate(symbols[1:], 1):
        rules += [(symbol, (symbols[i - 1], words[i % len(words)], words[0]), 0.25), (symbol, tuple(words), 0.75)]
    return check(symbols[0], [ProbabilisticProduction(left, right, prob=p) for left, right, p in rules])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(NAMES, min_size=2, max_size=4, unique=True), st.lists(NAMES, min_size=1, max_size=3))
@example(["0.5", "->"], ["a"])
@example(["S", "//"], ["# a"])
@example(["#", "'a'"], ["a"])
@example(["S", "'"], [" "])
@example(["S", '"'], [" x"])
@example(["S", "'"], ["\u00a0"])
def test_text_and_yaml_give_the_same_grammar_back(names, words):
    grammar = grammar_of(names, words)
    assert read_text(grammar.to_text()) == grammar
    body = "".join(f"  {line}\n" for line in grammar.to_text().split("\n")[:-1])
    assert yaml.safe_load(f"grammar: |\n{body}")["grammar"] == grammar.to_text()


@pytest.mark.parametrize("name", ODD)
def test_a_language_comes_back_from_both_files(name, tmp_path):
    language = PCFG(grammar_of(["S", name], ["w", name]), 4)
    (tmp_path / "again.pcfg").write_text(language.grammar.to_text(), encoding="utf-8")
    for path in (tmp_path / "again.pcfg", language.save(str(tmp_path / "language"))):
        again = load_language(path, 4)
        assert again.grammar == language.grammar
        assert again.words == language.words
    assert again.fingerprint() == language.fingerprint()
    assert again.spans == language.spans


@settings(max_examples=100, deadline=None)
@given(st.lists(NAMES.filter(lambda text: "\n" not in text and "\r" not in text), min_size=1, max_size=4))
def test_nltk_reads_what_needs_no_escapes(words):
    grammar = grammar_of(["S", "A"], words)
    text = grammar.to_text()
    if not text.startswith("%escapes"):
        theirs = nltk.PCFG.fromstring(text)
        assert [of_nltk(rule).rhs() for rule in theirs.productions()] == [rule.rhs() for rule in grammar.productions]


def test_names_as_they_were_written_stay_as_they_are():
    """No line more, no escape more, where none was needed."""
    text = "%start S\nS -> ADVP\\|PRT 'a\\b' [0.5]\nS -> \"it's\" [0.5]\nADVP\\|PRT -> 'New York' [1.0]\n"
    assert read_text(text).to_text() == text


def test_a_nonterminal_without_a_name_is_refused():
    with pytest.raises(InputError, match="name is empty"):
        language_of("uniform-cfg", {"rules": {"": "a b"}})


@pytest.mark.parametrize("right", ["\ud800", Nonterminal("\udfff")])
def test_half_a_character_is_no_name(right):
    rules = [ProbabilisticProduction(Nonterminal("S"), (right,), prob=1.0)]
    with pytest.raises(InputError, match="holds half a surrogate pair, expected one that a file can hold; rename it"):
        check(Nonterminal("S"), rules)
