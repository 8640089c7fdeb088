"""Wrong grammars and matrices: each gets one InputError that says what and where; a nearly right one is mended."""

import math
import re

import nltk
import pytest
import torch
from support.oracles import enumerated
from support.words import encode

from satlab.errors import InputError
from satlab.generators import HMM, PCFG

HALF = [[0.5, 0.5], [0.5, 0.5]]
NAN = float("nan")


def refused(text, match, max_length=None):
    with pytest.raises(InputError, match=match) as caught:
        PCFG.from_string(text, max_length)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "line", ["A > 'a' [1.0]", "A -> 'a [1.0]", "A -> 'a' [x]", "A", "-> 'a' [1.0]", "A -> 'a' [1.0", "A -> 'a' [-0.5]"]
)
def test_malformed_rule_names_its_line(line):
    refused(f"S -> A [1.0]\n# a comment\n{line}\n", rf"line 3: {re.escape(line)}.*expected a rule such as")


@pytest.mark.parametrize("text", ["", "  \n", "# nothing but a comment\n", "%start S\n"])
def test_no_rules(text):
    refused(text, "the grammar has no rules")


def test_bad_directive_and_bad_start():
    refused("%strat S\nS -> 'a' [1.0]", "line 1: %strat S")
    refused("%start X\nS -> 'a' [1.0]", "the start symbol X has no rule")


@pytest.mark.parametrize(("p", "total"), [("0.4", "0.9"), ("0.502", "1.002"), ("0.0", "0.5")])
def test_probabilities_that_do_not_sum_to_one_name_the_symbol(p, total):
    refused(f"S -> A [1.0]\nA -> 'a' [0.5] | 'b' [{p}]", rf"the rules of A sum to {total}, expected 1")


def test_probabilities_that_were_forgotten():
    refused("S -> 'a'", r"line 1: S -> 'a': alternative 1 \('a'\) has no probability")
    refused("S -> 'a' [0.5] | 'b' 'c' | 'd' [0.5]", r"alternative 2 \('b' 'c'\) has no probability")


def test_probabilities_off_by_rounding_are_renormalised_with_a_warning():
    with pytest.warns(UserWarning, match=r"the rules of S sum to 0.9995; renormalised"):
        language = PCFG.from_string("S -> 'a' [0.3332] | 'b' [0.6663]")
    exact = [math.log(0.3332 / 0.9995), math.log(0.6663 / 0.9995)]
    assert language.log_prob(*encode(language, ["a", "b"])).tolist() == pytest.approx(exact, abs=1e-12)


def test_undefined_and_empty():
    refused("S -> A B [1.0]\nA -> 'a' [1.0]", "the nonterminal B, used by S, is never defined")
    refused("S -> 'a' [1.0]\nA -> B [1.0]", "the nonterminal B, used by A, is never defined")
    refused("S -> 'a' [0.5] | [0.5]", "the rule 'S ->' is empty")
    refused("S -> A [1.0]\nA -> ", "the rule 'A ->' is empty")


def test_a_start_without_sentences_is_refused():
    refused("S -> S 'a' [1.0]", "the nonterminal S never ends")
    refused("S -> S [1.0]", "the nonterminal S never ends", 3)
    refused("S -> A [1.0]\nA -> A A [1.0]", "the nonterminal S never ends")


def test_a_unary_cycle_of_mass_below_one_is_exact():
    """p(b) = 0.1 (1 + 0.81 + 0.81^2 + ...) = 0.1 / 0.19 for the symbol S, which comes back to itself with 0.9 0.9."""
    language = PCFG.from_string("S -> A [0.9] | 'b' [0.1]\nA -> S [0.9] | 'a' [0.1]", 1)
    exact = [math.log(0.1 / 0.19), math.log(0.09 / 0.19)]
    assert language.log_prob(*encode(language, ["b", "a"])).tolist() == pytest.approx(exact, abs=1e-12)


def test_a_start_that_needs_too_many_words_is_refused():
    refused("S -> A A [1.0]\nA -> 'a' 'a' [1.0]", "the nonterminal S needs 4 words, expected at most max_length = 3", 3)


def test_nltk_grammars_are_checked_too():
    S = nltk.Nonterminal("S")
    rules = [nltk.ProbabilisticProduction(S, right, prob=0.5) for right in ((), ("a",))]
    with pytest.raises(InputError, match="the rule 'S ->' is empty"):
        PCFG.from_nltk(nltk.PCFG(S, rules))
    rules = [nltk.ProbabilisticProduction(S, (word,), prob=p) for word, p in (("a", 1.5), ("b", -0.5))]
    with pytest.raises(InputError, match="S"):
        PCFG.from_nltk(nltk.PCFG(S, rules))


def test_notation_of_treebanks_and_comments():
    """Names with hyphens, bars in angle brackets and carets, both kinds of quotes, words that look like syntax."""
    text = """
    # what nltk's binarisation writes
    %start NP-SBJ
    NP-SBJ -> DT NP|<NN-POS> [0.5] | "'s" [0.25] | '#' [0.25]
    NP|<NN-POS> -> 'DT' 'a|b' [1.0]
    DT -> 'the' [0.5] | '[0.5]' [0.5]
    """
    language = PCFG.from_string(text)
    assert str(language.grammar.start) == "NP-SBJ"
    assert set(language.words) == {"'s", "#", "DT", "a|b", "the", "[0.5]"}
    strings = [("'s",), ("#",), ("the", "DT", "a|b"), ("[0.5]", "DT", "a|b")]
    assert language.log_prob(*encode(language, strings)).exp().tolist() == pytest.approx([0.25] * 4, abs=1e-12)


def test_rules_named_twice_add_up():
    text = "S -> 'a' [0.25] | 'b' [0.25] | 'a' [0.25] | S S [0.125] | S S [0.125]"
    language, oracle = PCFG.from_string(text, 3), enumerated(text, 3)
    for string in ("a", "ab", "bab"):
        log_prob = float(language.log_prob(*encode(language, [string])))
        assert log_prob == pytest.approx(oracle.log_prob(string), abs=1e-12)


@pytest.fixture
def language():
    return PCFG.from_string("S -> A B [0.5] | 'c' [0.5]\nA -> 'a' [0.5] | 'b' [0.5]\nB -> 'b' [1.0]")


def test_an_impossible_sentence_names_its_row(language):
    a, b, c = (language.words.index(word) for word in "abc")
    for ask in (language.conditional, language.posterior):
        with pytest.raises(InputError, match="sentence 2 is impossible"):
            ask(torch.tensor([[a, b], [c, language.pad_id], [b, a]]))
    assert language.log_prob(torch.tensor([[b, a]])).tolist() == [-math.inf]
    visible_first = torch.tensor([[False, True]])
    assert language.conditional(torch.tensor([[b, a]]), None, visible_first)[0, 1].tolist()[b] == 1
    with pytest.raises(InputError, match="sentence 0 is impossible"):
        language.conditional(torch.tensor([[c, b]]), None, visible_first)


def test_wrong_tokens_and_lengths(language):
    for ask in (language.log_prob, language.conditional, language.posterior):
        with pytest.raises(InputError, match="sentence 1, position 0: token 7 is not a word, expected 0 to 2"):
            ask(torch.tensor([[0, 1], [7, 1]]))
        with pytest.raises(InputError, match=r"tokens have shape \[2\]"):
            ask(torch.tensor([0, 1]))
        with pytest.raises(InputError, match="sentence 1 is empty"):
            ask(torch.tensor([[0, 1], [language.pad_id, language.pad_id]]))
    with pytest.raises(InputError, match=r"sentence 0 has 3 words.*between 1 and 2"):
        language.conditional(torch.tensor([[0, 1, 1]]))
    with pytest.raises(InputError, match="token 4 is not a word"):
        language.log_prob(torch.tensor([[0, language.mask_id]]))


@pytest.mark.parametrize("kind", ["hmm", "pcfg"])
def test_lengths_beyond_the_given_words_are_refused(kind):
    """Two tokens cannot be a sentence of three words."""
    language = HMM([0.5, 0.5], HALF, HALF, 3) if kind == "hmm" else PCFG.from_string("S -> S S [0.5] | 'a' [0.5]", 3)
    with pytest.raises(InputError, match="3"):
        language.log_prob(torch.tensor([[0, 0]]), torch.tensor([3]))


@pytest.mark.parametrize(
    ("initial", "transition", "emission", "match"),
    [
        ([0.5, 0.4], HALF, HALF, "the initial probabilities sum to 0.9, expected 1"),
        ([0.5, 0.5], [[0.5, 0.5], [0.7, 0.4]], HALF, "transition probabilities of state 2 sum to 1.1"),
        ([0.5, 0.5], HALF, [[1, 1], [0.5, 0.5]], "emission probabilities of state 1 sum to 2"),
        ([1.5, -0.5], HALF, HALF, "the initial probabilities contain -0.5"),
        ([0.5, 0.5], [[0.5, 0.5], [NAN, 0.5]], HALF, "transition probabilities of state 2 contain nan"),
        ([0.5, 0.5], HALF, [[math.inf, 0], [0, 1]], "emission probabilities of state 1 contain inf"),
        ([0.5, 0.5], [[0.5, 0.5, 0], [0.5, 0, 0.5]], HALF, r"transition has shape \[2, 3\], expected \[2, 2\]"),
        ([0.5, 0.5], [0.5, 0.5], HALF, r"transition has shape \[2\], expected \[2, 2\]"),
        ([1.0], HALF, HALF, r"transition has shape \[2, 2\], expected \[1, 1\], as initial has 1 states"),
        ([0.5, 0.5], HALF, [[0.5, 0.5]], r"emission has shape \[1, 2\], expected \[2, V\].*transpose it"),
        ([[0.25, 0.25], [0.25, 0.25]], HALF, HALF, "initial"),
        (1.0, [[1.0]], [[1.0]], "initial"),
        ([0.5, 0.5], HALF, [1.0, 1.0], "emission"),
        ([0.5, 0.5], HALF, [[[0.5], [0.5]], [[0.5], [0.5]]], "emission"),
    ],
)
def test_wrong_hmm_matrices(initial, transition, emission, match):
    with pytest.raises(InputError, match=match):
        HMM(initial, transition, emission, 3)


def test_hmm_rows_off_by_rounding_are_renormalised_with_a_warning():
    with pytest.warns(UserWarning, match=r"emission probabilities of state 2 sum to 0.9995; renormalised"):
        language = HMM([0, 1], HALF, [[0.5, 0.5], [0.3332, 0.6663]], 1)
    assert language.log_prob(torch.tensor([[0]])).tolist() == pytest.approx([math.log(0.3332 / 0.9995)], abs=1e-12)


def test_wrong_hmm_length_and_words():
    with pytest.raises(InputError, match="length 0: expected 1 to 10000000 words"):
        HMM([0.5, 0.5], HALF, HALF, 0)
    for words in (["a"], ["a", "a"], ["a", "b", "c"]):
        with pytest.raises(InputError, match="different words for 2 columns"):
            HMM([0.5, 0.5], HALF, HALF, 2, words)


def test_a_cycle_of_unary_rules_that_hardly_ends_is_refused():
    """A tree from it would have 10,000 nodes over one word on average; just below the bound it is solved exactly."""
    with pytest.raises(InputError, match=r"returns to itself 1e\+04 times on average"):
        PCFG.from_string("S -> A [1.0]\nA -> S [0.9999] | 'a' [0.0001]", 2)
    language = PCFG.from_string("S -> A [1.0]\nA -> S [0.99] | 'a' [0.0025] | 'b' [0.0075]", 2)
    assert language.log_prob(torch.tensor([[0], [1]])).exp().tolist() == pytest.approx([0.25, 0.75], abs=1e-12)


@pytest.mark.parametrize(
    ("text", "lost"), [("S -> 'a' S [0.95] | 'b' [0.05]", "0.19"), ("S -> S S [0.5] | 'b' [0.5]", "0.099")]
)
def test_a_recursive_grammar_without_a_bound_says_what_it_loses(text, lost):
    said = (
        rf"recursive and has no max_length: sentences of more than 32 words \({lost} of its probability\) are left out"
    )
    with pytest.warns(UserWarning, match=said):
        PCFG.from_string(text)


@pytest.mark.parametrize(("text", "max_length"), [("S -> 'a' S [0.95] | 'b' [0.05]", 5), ("S -> 'a' [1.0]", None)])
def test_a_bound_that_is_given_or_not_needed_is_no_reason_for_a_warning(text, max_length, recwarn):
    PCFG.from_string(text, max_length)
    assert not recwarn.list


def test_words_of_one_text_are_refused():
    start, symbol = nltk.Nonterminal("S"), nltk.Nonterminal("A")
    rules = [(start, (symbol, symbol), 1.0), (symbol, ("3",), 0.5), (symbol, (3,), 0.5)]
    grammar = nltk.PCFG(start, [nltk.ProbabilisticProduction(lhs, rhs, prob=p) for lhs, rhs, p in rules])
    with pytest.raises(
        InputError, match="the words '3' and 3 are both written '3', expected distinct words; rename one"
    ):
        PCFG.from_nltk(grammar)


@pytest.mark.parametrize("given", [nltk.CFG.fromstring("S -> 'a'"), "S -> 'a' [1.0]", None])
def test_what_is_no_pcfg_of_nltk_is_refused_by_its_type(given):
    with pytest.raises(InputError, match=f"grammar is of type {type(given).__name__} and has no probabilities"):
        PCFG.from_nltk(given)


def test_what_is_no_text_is_refused_by_its_type():
    with pytest.raises(InputError, match="grammar is of type NoneType, expected a string"):
        PCFG.from_string(None)
