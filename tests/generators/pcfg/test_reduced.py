"""Useless symbols go and the language stays: against all trees of the grammar as it was given."""

import math

import pytest
from support.oracles import enumerated
from support.words import encode

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.pcfg.grammar import check, read_text
from satlab.generators.pcfg.reduced import reduced

CASES = {
    "unreachable": (
        "S -> 'a' [0.25] | S S [0.75]\nT -> 'b' U [1.0]\nU -> 'c' [1.0]",
        "2 cannot be reached from S (T, U)",
    ),
    "endless": (
        "S -> A B [0.5] | 'c' [0.5]\nA -> 'a' [0.5] | X [0.5]\nB -> 'b' [1.0]\nX -> X X [1.0]",
        "1 never ends (X)",
    ),
    "a cycle of mass one": (
        "S -> S 'b' [0.25] | A [0.5] | 'a' [0.25]\nA -> B [1.0]\nB -> A [1.0]",
        "2 never end (A, B)",
    ),
    "recursive": (
        """
        S -> S S [0.4] | A [0.3] | L [0.3]
        A -> 'a' [0.2] | S A [0.3] | X [0.5]
        X -> X [1.0]
        L -> 'l' S S S S [1.0]
        """,
        "1 never ends (X), 1 needs more than max_length = 4 words (L)",
    ),
    "beyond criticality": (
        """
        S -> S S [0.8] | 'a' [0.1] | A [0.1]
        A -> 'b' [0.5] | L [0.5]
        L -> 'l' M M [1.0]
        M -> 'm' 'm' [0.5] | L [0.5]
        """,
        "1 cannot be reached from S (M), 1 needs more than max_length = 4 words (L)",
    ),
    "unreachable once others are gone": (
        "S -> 'a' [0.5] | X B [0.5]\nB -> 'b' [1.0]\nX -> X X [1.0]",
        "1 cannot be reached from S (B), 1 never ends (X)",
    ),
    "a rule of zero": ("S -> 'a' [1.0] | A [0.0]\nA -> 'b' [1.0]", "1 cannot be reached from S (A)"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_language_is_the_same_with_one_warning(name):
    text, said = CASES[name]
    with pytest.warns(UserWarning, match="^removed") as caught:
        language = PCFG.from_string(text, 4)
    assert len(caught) == 1
    assert said in str(caught[0].message)
    expected = enumerated(text, 4)
    strings = sorted(expected.probabilities)
    log_prob = language.log_prob(*encode(language, strings)).tolist()
    assert log_prob == pytest.approx([expected.log_prob(string) for string in strings], abs=1e-12)
    assert math.fsum(map(math.exp, log_prob)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore:removed")
def test_what_is_left_is_a_grammar_of_its_own(name, tmp_path, recwarn):
    language = PCFG.from_string(CASES[name][0], 4)
    recwarn.clear()
    again = load_language(language.save(str(tmp_path / "language")))
    assert again.grammar == language.grammar
    assert check(language.grammar.start, language.to_nltk().productions()) == language.grammar
    assert not recwarn.list


def test_symbols_that_lead_to_nothing_removed_keep_their_numbers():
    text = (
        "S -> A B [0.5] | T [0.5]\nA -> A A [0.7] | 'a' [0.3]\nB -> 'b' [0.5] | X [0.5]\n"
        "X -> X 'x' [1.0]\nT -> 't' [1.0]"
    )
    grammar = read_text(text)
    with pytest.warns(UserWarning, match="1 never ends"):
        kept = {(str(rule.lhs()), rule.rhs()): rule.prob() for rule in reduced(grammar, 9).productions}
    before = {(str(rule.lhs()), rule.rhs()): rule.prob() for rule in grammar.productions}
    assert {key: p for key, p in kept.items() if key[0] in "AT"} == {k: p for k, p in before.items() if k[0] in "AT"}
    assert kept["B", ("b",)] == 1.0


def test_a_grammar_without_useless_symbols_comes_back_itself():
    grammar = read_text("S -> A S [0.5] | 'a' [0.5]\nA -> 'b' [1.0]")
    assert reduced(grammar, 5) is grammar


def test_the_longest_sentence_is_that_of_what_is_left():
    with pytest.warns(UserWarning, match="1 never ends"):
        assert PCFG.from_string("S -> X [0.5] | 'a' 'b' [0.5]\nX -> X X [1.0]").max_length == 2


def test_a_start_that_is_not_first_is_pointed_out():
    text = "L -> '1' [0.5] | '2' [0.5]\nS -> L [0.5] | S '+' S [0.25] | S '-' S [0.25]"
    with pytest.warns(
        UserWarning,
        match=r"1 cannot be reached from L \(S\); the start symbol is that of the first rule, L; .*add %start S$",
    ):
        PCFG.from_string(text)
    assert PCFG.from_string("%start S\n" + text, 3).words == ("1", "2", "+", "-")


def test_many_are_counted_and_the_first_named():
    text = "S -> 'a' [1.0]\n" + "".join(f"T{i} -> 'b' [1.0]\n" for i in range(40))
    with pytest.warns(UserWarning, match=r"removed 40 nonterminals.*\(T0, T1, T2, T3, T4, \.\.\.\)$") as caught:
        PCFG.from_string(text)
    assert len(caught) == 1


def test_rules_without_probabilities_too():
    rules = {"S": "A B | c", "A": "a | X", "B": "b", "X": "X X", "T": "c"}
    with pytest.warns(UserWarning, match=r"1 cannot be reached from S \(T\), 1 never ends \(X\)") as caught:
        language = load_language({"family": "uniform-cfg", "rules": rules})
    assert len(caught) == 1
    log_prob = language.log_prob(*encode(language, [("a", "b"), ("c",)]))
    assert log_prob.exp().tolist() == pytest.approx([1 / 3, 2 / 3], abs=1e-12)
    with pytest.raises(InputError, match="S never ends"):
        load_language({"family": "uniform-cfg", "rules": {"S": "S a"}})
