"""Sampled trees: their probabilities, their number and what they leave open, against all trees of small grammars."""

import math
from collections import Counter

import pytest
from support.random_languages import all_pcfgs
from support.tree_oracle import acyclic, as_tuple, entropy, trees_of, words_of
from support.words import generator

from satlab.errors import InputError
from satlab.generators import PCFG
from satlab.generators.pcfg.ambiguity import ambiguity, log_number_of_trees
from satlab.generators.pcfg.trees import bracketed, nltk_trees, tree_log_prob

DOUBLING = "S -> S S [{p}] | 'a' [{q}]"


@pytest.mark.parametrize("name", sorted(acyclic()))
def test_trees_and_their_number_of_each_sampled_sentence(name):
    text, max_length = acyclic()[name]
    language = PCFG.from_string(text, max_length)
    trees = trees_of(text, max_length)
    total, counts = math.fsum(trees.values()), Counter(map(words_of, trees))
    sentences = language.sample(60, generator())
    sampled = [as_tuple(tree) for tree in nltk_trees(language, sentences)]
    assert [" ".join(words_of(tree)) for tree in sampled] == language.decode(sentences)
    exact = [math.log(trees[tree] / total) for tree in sampled]
    assert tree_log_prob(language, sentences).tolist() == pytest.approx(exact, abs=1e-10)
    numbers = log_number_of_trees(language, sentences).exp().tolist()
    assert numbers == pytest.approx([counts[words_of(tree)] for tree in sampled], rel=1e-9)


def test_ambiguity_is_the_difference_of_two_exact_entropies():
    text, _ = all_pcfgs()["beyond-criticality"]
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
    language = PCFG.from_string(DOUBLING.format(p=0.49, q=0.51), 70)
    sentences = language.sample(200, generator(4))
    catalan = [math.log(math.comb(2 * n - 2, n - 1) / n) for n in sentences.lengths.tolist()]
    assert max(sentences.lengths) > 30
    assert log_number_of_trees(language, sentences).tolist() == pytest.approx(catalan, rel=1e-10, abs=1e-10)


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
