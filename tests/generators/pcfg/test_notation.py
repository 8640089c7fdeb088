"""Grammar files in NLTK's notation and in the plain form `probability lhs -> rhs`, read and written."""

import math
import re
import warnings

import nltk
import pytest
from support.words import encode

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.pcfg.grammar import Grammar, check, read_text
from satlab.generators.pcfg.notation import decimal, written
from satlab.generators.pcfg.rules import Nonterminal, ProbabilisticProduction

NLTK = """
S -> NP VP [1.0]
VP -> V NP [0.59] | V [0.41]
NP -> 'she' [0.3] | Det N [0.7]
Det -> 'the' [1.0]
N -> 'dog' [0.5] | 'cat' [0.5]
V -> 'saw' [1.0]
"""
PLAIN = """
# the same, one rule a line

1 S -> NP VP
.59 VP -> V NP
0.41\tVP  -->  V
3e-1 NP -> she
  0.7 NP -> Det N
1.0 Det -> 'the'
0.5 N -> "dog"
0.5 N -> cat
1. V -> saw
"""


def test_the_plain_form_is_the_same_grammar():
    assert read_text(PLAIN) == read_text(NLTK)
    assert read_text(PLAIN.replace("\n", "\r\n")) == read_text(NLTK)


def test_a_plain_file_is_a_language(tmp_path):
    (tmp_path / "plain.pcfg").write_text(PLAIN)
    language = load_language(tmp_path / "plain.pcfg")
    exact = PCFG.from_nltk(nltk.PCFG.fromstring(NLTK))
    strings = [("she", "saw"), ("the", "dog", "saw", "the", "cat")]
    ours, theirs = (each.log_prob(*encode(each, strings)) for each in (language, exact))
    assert ours.tolist() == theirs.tolist()


def test_words_are_what_never_stands_on_a_left_hand_side():
    text = "0.5 S -> S 'S'\n0.25 S -> 's\n0.125 S -> \"''\"\n0.125 S -> '"
    rules = read_text(text).productions
    assert [rule.rhs() for rule in rules] == [(Nonterminal("S"), "S"), ("'s",), ("''",), ("'",)]


def test_treebank_names_and_punctuation_in_the_plain_form():
    text = (
        "1 S -> NP|<DT-NN> .\n.5 . -> #\n.5 . -> '|'\n1 NP|<DT-NN> -> '' $ -LRB-\n1 '' -> a|b\n1 $ -> [ \n1 -LRB- -> ("
    )
    grammar = read_text(text)
    assert {word for rule in grammar.productions for word in rule.rhs() if isinstance(word, str)} == set("#|[(") | {
        "a|b"
    }
    assert read_text(grammar.to_text()) == grammar


def test_the_start_of_the_plain_form():
    text = "0.5 A -> a\n0.5 A -> b\n1 S -> A A\n"
    assert str(read_text(text).start) == "A"
    assert str(read_text("%start S\n" + text).start) == "S"


STARTS = {"nltk": "S -> 'a' [0.5] | T [0.5]\nT -> 'b' [1.0]\n", "plain": "0.5 S -> a\n0.5 S -> T\n1 T -> b\n"}


@pytest.mark.parametrize("form", STARTS)
def test_of_two_starts_the_last_holds_as_in_nltk_with_one_warning(form):
    said = (
        r"%start S \(line 1\), %start T \(line 2\): only the last counts, so T is the start symbol; remove the other$"
    )
    with pytest.warns(UserWarning, match=f"^{said}") as caught:
        assert str(read_text("%start S\n%start T\n" + STARTS[form]).start) == "T"
    assert len(caught) == 1
    assert str(nltk.PCFG.fromstring("%start S\n%start T\n" + STARTS["nltk"]).start()) == "T"


def test_of_three_starts_each_is_named_once_at_its_last_line():
    said = (
        r"^%start T \(line 2\), %start S \(line 3\): only the last counts, so S is the start symbol; remove the other$"
    )
    with pytest.warns(UserWarning, match=said) as caught:
        assert str(read_text("%start S\n%start T\n%start S\n" + STARTS["nltk"]).start) == "S"
    assert len(caught) == 1


@pytest.mark.parametrize("form", STARTS)
def test_equal_starts_are_taken_without_a_warning(form):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert str(read_text("%start T\n%start T # again\n" + STARTS[form]).start) == "T"


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("S -> a", "line 3: S -> a: expected a probability and a rule such as"),
        ("0.5 S", "line 3: 0.5 S: expected a probability and a rule"),
        ("0,5 S -> b", "line 3: 0,5 S -> b: expected a probability"),
        ("1/2 S -> b", "line 3: 1/2 S -> b: expected a probability"),
        ("0.5 S => b", "line 3: 0.5 S => b: expected a probability"),
        ("S -> 'b' [0.5]", "line 3: S -> 'b' .0.5.: expected a probability"),
        ("0.5 S -> b | c", "line 3: .*each alternative a line of its own"),
        ("0.5 S -> b [0.5]", "line 3: .*expected one right-hand side"),
        ("0.5 S ->", "the rule 'S ->' is empty"),
        ("-0.5 S -> b", "not a probability between 0 and 1"),
        ("3 S -> b", "not a probability between 0 and 1"),
        ("0.4 S -> b", "the rules of S sum to 0.9, expected 1"),
        ("%strat S", "line 3: %strat S: expected a probability"),
        ("%start", "line 3: %start: expected a probability"),
    ],
)
def test_what_is_wrong_in_the_plain_form_names_its_line(line, match):
    with pytest.raises(InputError, match=match) as caught:
        read_text(f"# a comment\n0.5 S -> a\n{line}\n")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [".59 VP V NP\n", "0.5 -> a\n", "half S -> a\n", "VP -> V NP\n"])
def test_a_first_line_in_neither_notation_offers_both(text):
    with pytest.raises(InputError) as caught:
        read_text(text)
    if "sum to 0" not in str(caught.value):
        assert "line 1" in str(caught.value)
        assert "NP -> Det N [0.7] | 'she' [0.3], or, in all lines, 0.7 NP -> Det N" in str(caught.value)


NAMES = [
    "S",
    "''",
    "``",
    ",",
    ".",
    ":",
    "#",
    "%",
    "$",
    "PRP$",
    "-LRB-",
    "ADVP|PRT",
    "NP|<DT-NN>",
    "NP|<''-#>",
    "[",
    "]",
]
NAMES += [
    "NP^<S>",
    "NP|<>^<S-VP>",
    "ADVP|PRT|<A-B>",
    "a\\b",
    "\\",
    "\\\\",
    "\\|",
    "'x'",
    '"',
    "|",
    "||<",
    "x|<[>",
    "é",
    "(",
    "->",
]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_without_blanks_is_written_and_read_back(name):
    start = Nonterminal("TOP")
    rules = [(start, (Nonterminal(name), Nonterminal("B")), 1.0), (Nonterminal(name), ("x",), 1.0)]
    rules += [
        (Nonterminal("B"), ("y", Nonterminal("C")), 1.0),
        (Nonterminal("C"), ("it's",), 0.25),
        (Nonterminal("C"), ('"',), 0.75),
    ]
    grammar = check(start, [ProbabilisticProduction(lhs, rhs, prob=p) for lhs, rhs, p in rules])
    assert read_text(grammar.to_text()) == grammar
    assert read_text(grammar.to_text()).nonterminals[1] == Nonterminal(name)


def test_names_that_need_no_backslash_get_none():
    for name in ("NP-SBJ|<DT-NN>", "NP^<S>", "PRP$", "S|<VP-.>^<TOP>", ","):
        assert written(Nonterminal(name)) == name
    assert written(Nonterminal("#")) == "\\#"


@pytest.mark.parametrize(
    "symbol", [Nonterminal("a b"), Nonterminal(""), Nonterminal("A "), "both ' and \"", "two\nlines"]
)
def test_what_cannot_be_written_is_refused(symbol):
    with pytest.raises(InputError, match=r"cannot be written in NLTK's notation|not printable"):
        written(symbol)


@pytest.mark.parametrize("p", [1.0, 1 / 3, 2 / 3, 1e-5, 1.25e-7, 3e-300, 5e-324, 0.1 + 0.2, math.nextafter(1, 0)])
def test_decimals_read_back_to_the_last_bit(p):
    assert float(decimal(p)) == p
    assert re.fullmatch(r"[\d.]+", decimal(p))


def test_writing_keeps_every_bit_and_the_order():
    text = "S -> A [0.1] | B [0.2] | 'c' [0.7]\nA -> 'a' [0.3333333333333333] | B [0.6666666666666667]\nB -> 'b' [1.0]"
    grammar = read_text(text)
    assert isinstance(grammar, Grammar)
    assert read_text(grammar.to_text()) == grammar
    assert read_text(grammar.to_text()).to_text() == grammar.to_text()
