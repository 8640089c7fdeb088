"""The statistics of grammars, against closed forms and all trees of small grammars."""

import math

import numpy as np
import pytest
from support.tree_oracle import acyclic, as_tuple, entropy, rules_in, trees_of, words_of
from support.words import generator

from satlab.generators import PCFG
from satlab.generators.pcfg.ambiguity import ambiguity
from satlab.generators.pcfg.branching import branching_statistics
from satlab.generators.pcfg.grammar import read_text
from satlab.generators.pcfg.statistics import grammar_statistics
from satlab.generators.pcfg.trees import nltk_trees, tree_log_prob

SUBCRITICAL = "S -> S S [{p}] | 'a' [{q}]"


# ---- without a bound on the length


@pytest.mark.parametrize("p", [0.1, 0.3, 0.45])
def test_a_grammar_that_doubles(p):
    """S -> S S [p] | 'a': a binary branching process; length and variance of Harris (1963), entropy h / (1 - 2p)."""
    found = branching_statistics(read_text(SUBCRITICAL.format(p=p, q=1 - p)))
    q = 1 - p
    assert found.radius == pytest.approx(2 * p, rel=1e-14)
    assert found.distance == pytest.approx(1 - 2 * p, rel=1e-13)
    assert (found.total_mass, found.endless) == (1.0, ())
    assert found.expected_length == pytest.approx(q / (1 - 2 * p), rel=1e-13)
    assert found.length_sd == pytest.approx(math.sqrt(p * q / (1 - 2 * p) ** 3), rel=1e-12)
    assert found.expected_rules == pytest.approx(1 / (1 - 2 * p), rel=1e-13)
    assert found.derivation_entropy == pytest.approx(-(p * math.log(p) + q * math.log(q)) / (1 - 2 * p), rel=1e-13)


@pytest.mark.parametrize("p", [0.5, 0.501, 0.6, 0.75, 0.99])
def test_at_and_beyond_criticality(p):
    found = branching_statistics(read_text(SUBCRITICAL.format(p=p, q=round(1 - p, 3))))
    assert found.total_mass == pytest.approx(min(1, (1 - p) / p), abs=1e-12)
    assert found.endless == (("S",) if p > 0.5 else ())
    unbounded = (found.expected_length, found.length_sd, found.expected_rules, found.derivation_entropy)
    assert unbounded == (math.inf,) * 4


def test_critical_in_one_part_only():
    """A ends for certain, S and B not: x_B = 1/3 of 3/4 x^2 + 1/4, so x_S = 1/2 + 1/2 x_B."""
    text = "S -> A [0.5] | B A [0.5]\nA -> A A [0.5] | 'a' [0.5]\nB -> B B [0.75] | 'b' [0.25]"
    found = branching_statistics(read_text(text))
    assert found.endless == ("S", "B")
    assert found.total_mass == pytest.approx(0.5 + 0.5 / 3, abs=1e-14)
    assert found.radius == pytest.approx(1.5, abs=1e-14)


def test_mass_of_mutual_recursion_is_a_root_of_its_polynomial():
    text = "S -> A B [0.5] | 'a' [0.5]\nA -> S B S [0.7] | 'a' [0.3]\nB -> A A [0.8] | S [0.1] | 'b' [0.1]"
    found = branching_statistics(read_text(text))
    s = a = b = 0.0
    for _ in range(20_000):
        s, a, b = 0.5 * a * b + 0.5, 0.7 * s * b * s + 0.3, 0.8 * a * a + 0.1 * s + 0.1
    assert 0 < found.total_mass < 1
    assert found.total_mass == pytest.approx(s, abs=1e-12)
    matrix = np.array([[0, 0.5, 0.5], [1.4, 0, 0.7], [0.1, 1.6, 0]])
    assert found.radius == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max(), rel=1e-12)


FINITE = [
    "S -> A 'x' B A [0.5] | A B A [0.3] | A [0.2]\nA -> 'a' [0.5] | 'x' [0.5]\nB -> 'a' [0.4] | A A [0.6]",
    "S -> A [0.25] | B [0.75]\nA -> 'a' [0.5] | 'b' [0.5]\nB -> 'b' [1.0]",
    "S -> 'a' [0.25] | 'b' [0.25] | 'a' [0.25] | A A [0.125] | A A [0.125]\nA -> 'c' [0.5] | 'd' 'd' [0.5]",
]


@pytest.mark.parametrize("text", FINITE)
def test_finite_grammars_by_all_their_trees(text):
    trees = trees_of(text, 8)
    assert math.fsum(trees.values()) == pytest.approx(1, abs=1e-14)
    found = branching_statistics(read_text(text))
    mean = math.fsum(p * len(words_of(tree)) for tree, p in trees.items())
    square = math.fsum(p * (len(words_of(tree)) - mean) ** 2 for tree, p in trees.items())
    assert found.radius == 0
    assert found.expected_length == pytest.approx(mean, rel=1e-13)
    assert found.length_sd == pytest.approx(math.sqrt(square), abs=1e-12)
    assert found.expected_rules == pytest.approx(math.fsum(p * rules_in(t) for t, p in trees.items()), rel=1e-13)
    assert found.derivation_entropy == pytest.approx(entropy(trees.values()), rel=1e-13)


def test_many_symbols_take_the_sparse_way_to_the_same_radius():
    """A ring of 400 symbols, each leading to the next twice with p: the radius is 2p."""
    lines = [f"A{i} -> A{(i + 1) % 400} A{(i + 1) % 400} [0.45] | 'a' [0.55]" for i in range(400)]
    assert branching_statistics(read_text("\n".join(lines))).radius == pytest.approx(0.9, abs=1e-9)


# ---- the language as cut


@pytest.mark.parametrize("name", sorted(acyclic()))
def test_the_cut_language_by_all_its_trees(name):
    text, max_length = acyclic()[name]
    language = PCFG.from_string(text, max_length)
    trees = trees_of(text, max_length)
    total = math.fsum(trees.values())
    found = grammar_statistics(language)
    mean = math.fsum(p / total * len(words_of(tree)) for tree, p in trees.items())
    square = math.fsum(p / total * (len(words_of(tree)) - mean) ** 2 for tree, p in trees.items())
    assert found.mass == pytest.approx(total, rel=1e-12)
    assert found.expected_length == pytest.approx(mean, rel=1e-12)
    assert found.length_sd == pytest.approx(math.sqrt(square), abs=1e-7)
    assert found.expected_rules == pytest.approx(
        math.fsum(p / total * rules_in(t) for t, p in trees.items()), rel=1e-12
    )
    assert found.derivation_entropy == pytest.approx(entropy(trees.values()), rel=1e-11, abs=1e-12)
    for length, p in enumerate(found.length_probability):
        exact = math.fsum(q for tree, q in trees.items() if len(words_of(tree)) == length) / total
        assert p == pytest.approx(exact, abs=1e-12)


def test_entropy_with_a_cycle_of_unary_rules():
    """S -> S [1/2] | 'a' [1/4] | 'b' [1/4]: k steps of the cycle have probability 2^-(k+1), so H = 2 log 2 + log 2."""
    language = PCFG.from_string("S -> S [0.5] | 'a' [0.25] | 'b' [0.25]", 3)
    found = grammar_statistics(language)
    assert found.derivation_entropy == pytest.approx(3 * math.log(2), rel=1e-12)
    assert found.expected_rules == pytest.approx(2, rel=1e-12)
    assert found.uncut.derivation_entropy == pytest.approx(3 * math.log(2), rel=1e-12)
    sampled = ambiguity(language, language.sample(2000, generator()))
    assert (sampled.log_trees, sampled.ambiguous) == (None, None)
    assert abs(sampled.tree_given_sentence.value - 2 * math.log(2)) < 4 * sampled.tree_given_sentence.stderr


def test_a_generous_cut_approaches_the_closed_forms():
    language = PCFG.from_string(SUBCRITICAL.format(p=0.2, q=0.8), 200)
    found = grammar_statistics(language)
    assert found.mass == pytest.approx(1, abs=1e-12)
    assert found.expected_length == pytest.approx(found.uncut.expected_length, rel=1e-12)
    assert found.length_sd == pytest.approx(found.uncut.length_sd, rel=1e-10)
    assert found.derivation_entropy == pytest.approx(found.uncut.derivation_entropy, rel=1e-11)
    assert found.expected_rules == pytest.approx(found.uncut.expected_rules, rel=1e-12)


def test_the_length_of_choice_replaces_the_grammars_own():
    """p(tree) = weight(T) p(tree | T)."""
    text = SUBCRITICAL.format(p=0.6, q=0.4)
    language = PCFG(read_text(text), 4, lengths={2: 0.25, 4: 0.75})
    trees = trees_of(text, 4)
    by_length = {n: [p for t, p in trees.items() if len(words_of(t)) == n] for n in (2, 4)}
    exact = entropy([0.25, 0.75]) + 0.25 * entropy(by_length[2]) + 0.75 * entropy(by_length[4])
    found = grammar_statistics(language)
    assert found.derivation_entropy == pytest.approx(exact, rel=1e-12)
    assert found.expected_length == pytest.approx(3.5)
    assert found.mass == pytest.approx(math.fsum(trees.values()), rel=1e-12)
    sentences = language.sample(20, generator())
    picked = {2: 0.25, 4: 0.75}
    for tree, log_p in zip(nltk_trees(language, sentences), tree_log_prob(language, sentences).tolist(), strict=True):
        length = len(tree.leaves())
        assert log_p == pytest.approx(math.log(picked[length] * trees[as_tuple(tree)] / math.fsum(by_length[length])))


def test_rules_are_counted_by_kind_and_once():
    text = "S -> A [0.25] | A A [0.25] | A 'x' [0.125] | A A A [0.125] | A [0.25]\nA -> 'a' [0.5] | 'b' 'b' [0.5]"
    found = grammar_statistics(PCFG.from_string(text))
    assert (found.symbols, found.words) == (2, 3)
    assert (found.unary, found.binary, found.long, found.lexical) == (1, 1, 3, 1)
