"""The statistics of grammars and chains, against closed forms, all trees of small grammars and dense matrices."""

import functools
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from helpers import generator
from oracles import HmmOracle, dense
from random_languages import all_pcfgs, random_hmm_arrays
from tree_oracle import Trees, as_tuple, entropy, rules_in, words_of

from satlab.errors import InputError
from satlab.generators import HMM, PCFG
from satlab.generators.ambiguity import ambiguity, log_number_of_trees
from satlab.generators.branching import branching_statistics
from satlab.generators.chain import chain_statistics, stationary
from satlab.generators.grammar import read_text
from satlab.generators.statistics import grammar_statistics
from satlab.generators.trees import bracketed, nltk_trees, tree_log_prob

SUBCRITICAL = "S -> S S [{p}] | 'a' [{q}]"


def cyclic(text):
    """Whether unary rules lead from a symbol back to itself."""
    links = {(r.lhs(), r.rhs()[0]) for r in read_text(text).productions if len(r.rhs()) == 1 and not isinstance(r.rhs()[0], str)}
    for _ in range(5):
        links |= {(a, d) for (a, b), (c, d) in itertools.product(links, links) if b == c}
    return any(a == b for a, b in links)


@functools.cache
def acyclic():
    """{name: (text, max_length)}, without unary cycles and short enough to list all trees."""
    return {name: (text, min(n, 4)) for name, (text, n) in all_pcfgs().items() if not cyclic(text)}


def trees_of(text, max_length):
    grammar = read_text(text)
    return Trees(grammar.productions).up_to(grammar.start, max_length)


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
    language = PCFG.from_string(text, max(max_length, 1 if name == "words-only" else 3))
    trees = trees_of(text, language.max_length)
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


@pytest.mark.parametrize("name", sorted(acyclic()))
def test_trees_and_their_number_of_each_sampled_sentence(name):
    text, max_length = acyclic()[name]
    language = PCFG.from_string(text, max(max_length, 1 if name == "words-only" else 3))
    trees = trees_of(text, language.max_length)
    total, counts = math.fsum(trees.values()), Counter(map(words_of, trees))
    sentences = language.sample(60, generator())
    sampled = [as_tuple(tree) for tree in nltk_trees(language, sentences)]
    assert [" ".join(words_of(tree)) for tree in sampled] == language.decode(sentences)
    exact = [math.log(trees[tree] / total) for tree in sampled]
    assert tree_log_prob(language, sentences).tolist() == pytest.approx(exact, abs=1e-10)
    numbers = log_number_of_trees(language, sentences).exp().tolist()
    assert numbers == pytest.approx([counts[words_of(tree)] for tree in sampled], rel=1e-9)


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


def test_ambiguity_is_the_difference_of_two_exact_entropies():
    text, max_length = all_pcfgs()["beyond-criticality"]
    language = PCFG.from_string(text, 5)
    trees = trees_of(text, 5)
    sentences = Counter()
    for tree, p in trees.items():
        sentences[words_of(tree)] += p
    exact = entropy(trees.values()) - entropy(sentences.values())
    found = ambiguity(language, language.sample(4000, generator(1)))
    assert abs(found.tree_given_sentence.value - exact) < 4 * found.tree_given_sentence.stderr
    shares = [p / math.fsum(sentences.values()) for s, p in sentences.items() if len(s) > 2]
    assert abs(found.ambiguous.value - math.fsum(shares)) < 4 * found.ambiguous.stderr


def test_an_unambiguous_grammar_has_no_ambiguity_and_no_error():
    language = PCFG.from_string("S -> 'a' S 'b' [0.5] | 'c' [0.3] | 'd' [0.2]", 9)
    found = ambiguity(language, language.sample(100, generator()))
    for part in (found.tree_given_sentence, found.log_trees, found.ambiguous):
        assert part.value == pytest.approx(0, abs=1e-12)
        assert part.stderr == pytest.approx(0, abs=1e-12)


def test_catalan_numbers_of_trees():
    """S -> S S | 'a': a sentence of n words has the (n - 1)-th Catalan number of trees, here up to 1e38."""
    language = PCFG.from_string(SUBCRITICAL.format(p=0.49, q=0.51), 70)
    sentences = language.sample(200, generator(4))
    catalan = [math.log(math.comb(2 * n - 2, n - 1) / n) for n in sentences.lengths.tolist()]
    assert max(sentences.lengths) > 30
    assert log_number_of_trees(language, sentences).tolist() == pytest.approx(catalan, rel=1e-10, abs=1e-10)


def test_rules_are_counted_by_kind_and_once():
    text = "S -> A [0.25] | A A [0.25] | A 'x' [0.125] | A A A [0.125] | A [0.25]\nA -> 'a' [0.5] | 'b' 'b' [0.5]"
    found = grammar_statistics(PCFG.from_string(text))
    assert (found.symbols, found.words) == (2, 3)
    assert (found.unary, found.binary, found.long, found.lexical) == (1, 1, 3, 1)


def test_trees_in_brackets_read_back():
    language = PCFG.from_string("S -> S S [0.4] | '(' [0.3] | 'New York' [0.3]", 4)
    sentences = language.sample(50, generator())
    for tree in nltk_trees(language, sentences):
        again = type(tree).fromstring(bracketed(tree))
        words = [word.replace("(", "-LRB-").replace(" ", "_") for word in tree.leaves()]
        assert again.leaves() == words


def test_deep_trees_need_no_recursion():
    language = PCFG.from_string("S -> 'a' S [0.999] | 'b' [0.001]", 1500)
    sentences = language.sample(20, generator())
    tree = next(t for t, n in zip(nltk_trees(language, sentences), sentences.lengths, strict=True) if n > 1000)
    assert bracketed(tree).startswith("(S a (S a (S a")


def test_sentences_without_trees_are_refused():
    language = PCFG.from_string("S -> 'a' [1.0]")
    sentences = language.sample(3, generator(), latents=False)
    for ask in (tree_log_prob, ambiguity, lambda *given: list(nltk_trees(*given))):
        with pytest.raises(InputError, match="no latent 'nodes'"):
            ask(language, sentences)


# ---- hidden chains


@pytest.mark.parametrize("seed", range(12))
def test_chains_by_all_their_paths(seed):
    initial, transition, emission, length = random_hmm_arrays(seed)
    language, oracle = HMM(initial, transition, emission, length), HmmOracle(initial, transition, emission, length)
    found = chain_statistics(language)
    occupancy = [oracle.prior[(oracle.paths == k)[:, t]].sum() for k in range(oracle.states) for t in range(length)]
    occupancy = np.reshape(occupancy, (oracle.states, length)).mean(1)
    assert found.occupancy == pytest.approx(occupancy.tolist(), abs=1e-12)
    assert found.effective_states == pytest.approx(math.exp(entropy(occupancy.tolist())), rel=1e-12)
    assert found.path_entropy == pytest.approx(entropy(oracle.prior.tolist()), abs=1e-12)
    rows = [entropy(row) for row in np.asarray(emission).tolist()]
    assert found.emission_entropy == pytest.approx(float(occupancy @ rows), abs=1e-12)
    assert (found.least_emission_entropy, found.greatest_emission_entropy) == pytest.approx((min(rows), max(rows)))
    assert math.fsum(part.weight for part in found.classes) == pytest.approx(1, abs=1e-12)
    far = np.asarray(initial) @ np.mean([np.linalg.matrix_power(dense(transition), n) for n in range(4000, 4060)], 0)
    long_run = np.zeros(oracle.states)
    for part in found.classes:
        long_run[np.array(part.states) - 1] = part.weight * np.array(part.stationary)
    assert long_run.tolist() == pytest.approx(far.tolist(), abs=1e-9)


def test_a_chain_with_two_classes_and_states_that_are_left():
    """State 1 leads to the class {2, 3} with 3/4 and to 4 with 1/4; |lambda_2| of {2, 3} is |1 - 0.3 - 0.6|."""
    transition = [[0.2, 0.6, 0, 0.2], [0, 0.7, 0.3, 0], [0, 0.6, 0.4, 0], [0, 0, 0, 1]]
    found = chain_statistics(HMM([1, 0, 0, 0], transition, np.eye(4), 5))
    assert (found.states, found.blocks, found.transient, len(found.classes)) == (4, 1, 1, 2)
    first, second = found.classes
    assert (first.states, second.states) == ((2, 3), (4,))
    assert (first.weight, second.weight) == pytest.approx((0.75, 0.25), abs=1e-14)
    assert first.stationary == pytest.approx((2 / 3, 1 / 3), abs=1e-14)
    assert first.second_eigenvalue == pytest.approx(0.1, abs=1e-12)
    assert (second.second_eigenvalue, second.entropy_rate) == (0, 0)
    rate = 2 / 3 * entropy([0.7, 0.3]) + 1 / 3 * entropy([0.6, 0.4])
    assert found.entropy_rate == pytest.approx(0.75 * rate, abs=1e-14)


def test_a_periodic_chain_never_forgets_its_start():
    (only,) = chain_statistics(HMM([1, 0], [[0, 1], [1, 0]], np.eye(2), 4)).classes
    assert (only.second_eigenvalue, only.stationary) == pytest.approx((1, (0.5, 0.5)))


def test_stationary_keeps_its_relative_accuracy_for_rare_states():
    p = 1e-13
    exact = np.array([1, p / 0.5, (p / 0.5) ** 2])
    transition = np.array([[1 - p, p, 0], [0.5, 0.5 - p, p], [0, 0.5, 0.5]])
    assert stationary(transition) == pytest.approx(exact / exact.sum(), rel=1e-12)
