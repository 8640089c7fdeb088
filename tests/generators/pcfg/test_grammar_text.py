"""Grammar files as people write them: comments, quotes, probabilities, the start, and what nltk prints."""

import itertools
import random
import re
import time
import warnings

import nltk
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from nltk.grammar import Nonterminal, ProbabilisticProduction

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.pcfg.grammar import check, read_text
from satlab.generators.pcfg.rules import of_nltk

COMMENTS = {
    "plain, trailing": ("0.6 S -> a b  # c d\n0.4 S -> b // e f\n", "a b"),
    "plain, a whole line": ("// one\n1 S -> a\n  # two\n", "a"),
    "plain, no blank before it": ("1 S -> 'a'# c d\n", "a"),
    "plain, in quotes": ("0.5 S -> '#'\n0.25 S -> \"a // b\"\n0.25 S -> '# 1'", "# a//b #1"),
    "plain, a symbol": ("1 S -> # b // x\n1 # -> c", "b c"),
    "plain, nothing else": (".5 S -> #\n.5 S -> b", "# b"),
    "nltk, trailing": ("S -> 'a' [0.5] | 'b' [0.5] # 'c' [0.5]\n", "a b"),
    "nltk, slashes": ("S -> 'a' [0.5] | 'b' [0.5]// | 'c' [0.5]\n", "a b"),
    "nltk, a whole line": ("//S -> 'a' [1.0]\n# S -> 'b' [1.0]\n#S -> 'c' [1.0]\nS -> 'd' [1.0]", "d"),
    "nltk, in quotes": ("S -> '#' [0.5] | 'x // y' [0.5] # z", "# x//y"),
    "nltk, a symbol": ("S -> # 'x' [1.0] # c\n# -> '#' [1.0]\n", "# x"),
    "nltk, ancestors": ("S -> #^<S> 'x' [1.0]\n#^<S> -> '#' [1.0]\n", "# x"),
    "nltk, about an arrow": ("# -> means: is rewritten to\nS -> 'a' [1.0]", "a"),
    "nltk, a backslash at its end": ("S -> A [1.0] # see \\\nA -> 'a' [1.0]", "a"),
    "nltk, behind the start": ("%start A # not S\nS -> 'b' [1.0]\nA -> 'a' [1.0] | S [0.0]", "a"),
}


@pytest.mark.parametrize("name", COMMENTS)
@pytest.mark.filterwarnings("ignore:removed")
def test_comments_are_no_words(name):
    text, words = COMMENTS[name]
    language = PCFG.from_string(text, 8)
    assert {word.replace(" ", "") for word in language.words} == set(words.split())


def test_a_comment_right_behind_a_plain_word_is_said():
    text = "0.5 NP -> she# who\n0.25 NP -> see http://x\n0.25 NP -> y"
    with pytest.warns(UserWarning, match=r"^line 1, after she and 1 other places: # or // begins") as caught:
        assert PCFG.from_string(text).words == ("she", "see", "http:", "y")
    assert len(caught) == 1


def test_quotes_are_read_before_blanks_in_the_plain_form():
    text = "0.5 NP --> 'New York' \"it's\" 's\n0.25 NP --> don't ' '\n0.25 NP --> 'a''b' '|' '[0.5]'"
    rules = read_text(text).productions
    assert [rule.rhs() for rule in rules] == [("New York", "it's", "'s"), ("don't", " "), ("a''b", "|", "[0.5]")]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("S -> 'a' [0.5] | 'b' [0.5] | 'c'", r"line 1: .*: alternative 3 \('c'\) has no probability"),
        ("\nS -> A | 'b' [1.0]\nA -> 'a' [1.0]", r"line 2: .*: alternative 1 \(A\) has no probability"),
        ("S -> A|B [1.0]\nA -> 'a' [1.0]\nB -> 'b' [1.0]", r"line 1: .*: alternative 1 \(A\) has no probability"),
        ("S -> A # [1.0]\nA -> 'a' [1.0]", r"line 1: .*: alternative 1 \(A\) has no probability"),
        ("S -> 'a' [0.3] [0.7] | 'b' [0.3]", r"line 1: .*: alternative 1 \('a'\) has two probabilities"),
        ("S -> 'b' [0.3] | 'a' [0.7] [0.7]", r"line 1: .*: alternative 2 \('a'\) has two probabilities"),
        ("S -> 'a' [0.5] 'b' [0.5]", r"line 1: .*: 'b' follows the probability of alternative 1 \('a'\)"),
        ("S -> 'a' [0.5] B | 'b' [0.5]", r"line 1: .*: 'B' follows the probability of alternative 1"),
        *(
            (f"S -> 'a' [{p}]", rf"line 1: .*\[{re.escape(p)}\] is not a probability")
            for p in ("x", "", "0,5", "1/2", ".")
        ),
        *(
            (f"S -> 'a' [{p}]", rf"line 1: .*\[{re.escape(p)}\] is not a probability")
            for p in ("50%", "nan", "-1", "1e999")
        ),
        ("S -> 'a' [1.5]", r"line 1: .*\[1.5\] is not a probability between 0 and 1"),
        ("S -> 'b' [0.5] | '' [0.5]", "line 1: .* empty rule.*remove the rule, or name a word"),
        ('S -> "" [1.0]', "line 1: .* empty rule"),
        ("0.5 B -> b\n0.5 B -> ''", "line 2: .* empty rule.*name a word.*the word of two apostrophes"),
        ("1 S -> # a comment alone", "line 1: .*the rule 'S ->' is empty"),
        ("S -> 'a' [1.0]\n'T' -> 'b' [1.0]", "line 2: .*'T' is a word, and words have no rules"),
        ("S -> 'a [1.0]", "line 1: .*quote before a is not closed"),
        ("1_0 S -> a", "line 1: 1_0 S -> a"),
    ],
)
def test_what_is_refused_names_line_and_alternative(text, match):
    with pytest.raises(InputError, match=match) as caught:
        PCFG.from_string(text, 3)
    assert "\n" not in str(caught.value)


def test_a_probability_may_stand_in_front():
    assert read_text("S -> [0.5] 'a' 'b' | [ 5e-1 ] 'b'") == read_text("S -> 'a' 'b' [0.5] | 'b' [0.5]")


def test_an_empty_word_from_nltk_is_refused():
    rule = ProbabilisticProduction(Nonterminal("S"), ("",), prob=1.0)
    with pytest.raises(InputError, match="the empty word"):
        check(Nonterminal("S"), [rule])


def test_many_rows_that_are_renormalised_are_one_warning_that_counts():
    text = "".join(f"A{i} -> A{i + 1} [0.5] | 'a' [0.4999{i}]\n" for i in range(1, 9)) + "A9 -> 'b' [1.0]"
    with pytest.warns(UserWarning, match="renormalised") as caught:
        read_text(text)
    assert [str(warning.message) for warning in caught] == [
        "the rules of 8 symbols (A1, A2, A3, A4, A5, ...) sum to 0.99991 .. 0.99998; renormalised"
    ]


def test_sums_are_shown_with_as_many_digits_as_tell_them_from_what_is_expected():
    with pytest.warns(UserWarning, match=r"sum to 0.99999999997; renormalised"):
        read_text("S -> 'a' [0.5] | 'b' [0.49999999997]")
    with pytest.raises(InputError, match=r"sum to 1.0010001, expected 1 \(within 0.001\)"):
        read_text("S -> 'a' [0.5] | 'b' [0.5010001]")


def test_rules_in_yaml_read_quotes_before_blanks_and_bars():
    rules = {"S": "A 'New York' | \"it's\" B", "A": "'|' | 's | a|b", "B": "B2", "B2": "'x'"}
    language = load_language({"family": "uniform-cfg", "rules": rules})
    assert set(language.words) == {"New York", "it's", "|", "'s", "a", "b", "x"}
    for text, match in (("a | ''", "the empty word"), ("a | 'S'", "which is also a symbol")):
        with pytest.raises(InputError, match=match):
            load_language({"family": "uniform-cfg", "rules": {"S": text}})


# ---- what nltk prints

HEADED = (
    "Grammar with 3 productions (start state = NP)\n"
    "    DT -> 'the' [1.0]\n    NP -> DT [8e-05]\n    NP -> 'it' [0.99992]"
)


def test_the_heading_names_the_start_and_counts_the_rules():
    assert str(read_text(HEADED).start) == "NP"
    assert str(read_text("%start DT\n" + HEADED).start) == "DT"
    with pytest.warns(UserWarning, match="the heading promises 4 rules, but 3 follow"):
        read_text(HEADED.replace("3 prod", "4 prod"))


NLTK_NAME = st.from_regex(r"\A[\w/][\w/^<>-]{0,6}\Z").filter(lambda name: "\n" not in name)
NLTK_WORD = st.one_of(
    st.text(st.characters(exclude_characters="'\n", exclude_categories=["Cs"]), min_size=1, max_size=6).map(
        "'{}'".format
    ),
    st.text(st.characters(exclude_characters='"\n', exclude_categories=["Cs"]), min_size=1, max_size=6).map(
        '"{}"'.format
    ),
)


@st.composite
def nltk_grammars(draw):
    """What nltk.PCFG.fromstring reads: every symbol defined, rows that sum to one within nltk's tolerance."""
    names = draw(st.lists(NLTK_NAME, min_size=1, max_size=4, unique=True))
    lines = []
    for name in names:
        weights = draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=4))
        total = sum(weights) * (1 + draw(st.sampled_from([0, 0, 1e-6, 5e-4, -5e-4, 9e-3])))
        sides = []
        for weight in weights:
            parts = draw(st.lists(st.one_of(st.sampled_from(names), NLTK_WORD), min_size=1, max_size=3))
            sides.append(f"{' '.join(parts)} [{min(weight / total, 1.0):.17f}]")
        lines.append(f"{name} -> {' | '.join(sides)}")
    return "\n".join([f"%start {draw(st.sampled_from(names))}", *lines])


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(nltk_grammars())
def test_what_nltk_prints_is_read(text):
    try:
        theirs = nltk.PCFG.fromstring(text)
    except ValueError:
        assume(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = read_text(str(theirs))
    assert str(ours.start) == str(theirs.start())
    there = map(of_nltk, theirs.productions())
    printed = [(rule.lhs(), rule.rhs(), float(f"{rule.prob():g}")) for rule in there]
    totals = {}
    for left, _, p in printed:
        totals[left] = totals.get(left, 0.0) + p
    assert [(rule.lhs(), rule.rhs()) for rule in ours.productions] == [(left, right) for left, right, p in printed if p]
    expected = [p / totals[left] for left, _, p in printed if p]
    assert [rule.prob() for rule in ours.productions] == pytest.approx(expected, rel=1e-12)


TAGS = ["#", "''", "``", ":", ".", ",", "$", "-LRB-", "-RRB-", "PRP$", "DT", "NN", "VBD", "JJ", "IN", "CD", "POS"]
PHRASES = ["S", "NP-SBJ", "NP", "VP", "PP", "ADVP|PRT", "SBAR", "QP", "S|<VP-.>", *(f"NP-{i}" for i in range(60))]


def treebank_grammar(rules, seed=0):
    """As read off a treebank: binary rules between phrases and tags, binarised names, thousands of words."""
    draw = random.Random(seed)
    inner = [f"{phrase}|<{'-'.join(draw.choices(TAGS, k=draw.randint(1, 4)))}>" for phrase in PHRASES * 30]
    names = list(dict.fromkeys(PHRASES + inner))
    words = [f"w{i}" for i in range(9000)]
    counts = {name: {(Nonterminal(draw.choice(TAGS)),): 9} for name in names} | {
        tag: {(word,): 1} for tag, word in zip(TAGS, itertools.cycle(["#", "''", "`", "don't", '"', "3\\/4"]))
    }
    while sum(map(len, counts.values())) < rules:
        if draw.random() < 0.5:
            right = tuple(map(Nonterminal, draw.choices(TAGS + names, k=2)))
            counts[draw.choice(names)][right] = draw.randint(1, 50)
        else:
            counts[draw.choice(TAGS)][(draw.choice(words),)] = draw.randint(1, 50)
    productions = [
        ProbabilisticProduction(Nonterminal(name), right, prob=count / sum(row.values()))
        for name, row in counts.items()
        for right, count in row.items()
    ]
    return nltk.PCFG(Nonterminal("S"), productions, calculate_leftcorners=False)


@pytest.mark.slow
def test_a_treebanks_grammar_of_25000_rules_loads_in_seconds(tmp_path):
    """About 2 s of reading and 5 s of tables on one core; the bound leaves room for a busy machine."""
    printed = str(treebank_grammar(25_000))
    (tmp_path / "bank.pcfg").write_text(printed, encoding="utf-8")
    PCFG.from_string("S -> S S [0.5] | 'a' [0.5]", 4)  # compiles the passes, where that was not done yet
    begun = time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        language = load_language(tmp_path / "bank.pcfg", 10)
    assert time.process_time() - begun < 60
    messages = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    assert len(messages) <= 2
    assert any(re.match(r"the rules of \d{3,} symbols \(", message) for message in messages), messages
    names = {str(symbol) for symbol in language.grammar.nonterminals}
    assert names >= set(TAGS) | {"ADVP|PRT", "S|<VP-.>", "NP-SBJ"}
    assert {"#", "''", "don't", '"', "3\\/4"} <= set(language.words)
    assert read_text(language.grammar.to_text()) == language.grammar


def test_a_word_may_follow_a_name_without_a_blank_as_nltk_reads_it():
    text = "S -> A'b' [0.5] | 'c' [0.5]\nA -> 'd' [1.0]"
    assert read_text(text).productions == tuple(map(of_nltk, nltk.PCFG.fromstring(text).productions()))


def test_an_escaped_quote_without_the_line_that_allows_it_is_refused_with_the_way_out():
    with pytest.raises(InputError, match=r"never defined.*below a line %escapes"):
        read_text("S -> 'don\\'t' [0.5] | 'x' [0.5]")


def test_a_start_that_was_named_is_not_said_to_be_the_first():
    with pytest.warns(UserWarning, match=r"1 cannot be reached from T \(S\)$"):
        PCFG.from_string("S -> 'a' [0.5] | T [0.5]\nT -> 'b' [1.0]\n%start T")
