"""Sampled sentences and trees of PCFGs against exact probabilities."""

import itertools
import math

import nltk
import pytest
import torch
from support.oracles import PcfgOracle, enumerated
from support.random_languages import NAMED_PCFGS, all_pcfgs, random_hmm_arrays
from support.words import assert_frequencies, generator, word_tuples

from satlab.generators import HMM, PCFG, Sentences
from satlab.generators.hmm.backend import TensorChain

TREE_GRAMMAR = """
S -> A [0.25] | B A [0.375] | A 'x' B [0.375]
A -> B [0.5] | B B [0.25] | 'a' [0.25]
B -> 'a' [0.5] | 'x' [0.5]
"""
"""Unary chains, a long rule and a word within it; no unary cycle, so all trees can be listed."""


@pytest.mark.parametrize("name", ["beyond-criticality", "self-loop", "unary-cycle", "long-rules", "gaps-in-length"])
def test_sentence_frequencies(name):
    text, max_length = NAMED_PCFGS[name]
    exact = enumerated(text, max_length).probabilities
    language = PCFG.from_string(text, max_length)
    sentences = language.sample(40_000, generator(5))
    assert torch.equal((sentences.tokens != language.pad_id).sum(1), sentences.lengths)
    assert_frequencies(word_tuples(language, sentences), exact)


@pytest.mark.parametrize("name", ["beyond-criticality", "unary-cycle", "gaps-in-length"])
def test_sentence_frequencies_by_table(name):
    """The sampler for a GPU, run on the CPU; its trees are of the same kind as the compiled one's."""
    text, max_length = NAMED_PCFGS[name]
    exact = enumerated(text, max_length).probabilities
    language = PCFG.from_string(text, max_length)
    tokens, lengths, trees = language.sampler.draw_by_table(20_000, generator(5), True)
    assert_frequencies(word_tuples(language, Sentences(tokens, lengths)), exact)
    ours = language.sample(20_000, generator(6)).latents["nodes"]
    for column in range(3):
        both = [rows[rows[..., 0] >= 0][:, column].double() for rows in (trees, ours)]
        spread = math.sqrt(sum(float(values.var()) / 20_000 for values in both))
        assert abs(float(both[0].mean() - both[1].mean())) <= 4.5 * spread
    assert (trees[:, 0, 1] == lengths).all()


@pytest.mark.parametrize("name", ["no-unary-rule", "words-only"])
def test_sentence_frequencies_without_unary_rules(name):
    text, max_length = NAMED_PCFGS[name]
    exact = enumerated(text, max_length).probabilities
    language = PCFG.from_string(text, max_length)
    assert_frequencies(word_tuples(language, language.sample(20_000, generator(5))), exact)


def test_tree_frequencies():
    """Sentence and tree together, the tree as its preorder nodes, against the list of all derivation trees."""
    oracle = PcfgOracle(nltk.PCFG.fromstring(TREE_GRAMMAR))
    language = PCFG.from_string(TREE_GRAMMAR)
    exact = {}
    for string in oracle.enumeration(language.max_length).probabilities:
        for p, nodes in oracle.trees(oracle.start, string):
            exact[string, nodes] = exact.get((string, nodes), 0.0) + p
    sentences = language.sample(40_000, generator(6))
    own = language.rules.num_original
    trees = []
    for row in sentences.latents["nodes"].tolist():
        trees.append(tuple((start, width, language.symbols[s]) for start, width, s in row if 0 <= s < own))
    assert_frequencies(list(zip(word_tuples(language, sentences), trees, strict=True)), exact)


def _read_tree(language, nodes, words, position=0):
    """Checks the node at `position` of a preorder listing and all below it; the position after them."""
    start, width, symbol = nodes[position]
    rules = language.rules
    after = position + 1
    if after == len(nodes) or not _within(nodes[after], nodes[position]):
        assert width == 1
        assert any(s == symbol and rules.words[w] == words[start] for s, w, p in rules.lexical if p > 0)
        return after
    children = []
    while sum(child[1] for child in children) < width:
        children.append(nodes[after])
        assert children[-1][0] == start + sum(child[1] for child in children[:-1])
        after = _read_tree(language, nodes, words, after)
    assert sum(child[1] for child in children) == width
    made = (symbol, *(child[2] for child in children))
    assert any(made == rule[:-1] and rule[-1] > 0 for rule in [*rules.unary, *rules.binary])
    return after


def _within(inner, outer):
    return inner[0] >= outer[0] and inner[0] + inner[1] <= outer[0] + outer[1]


@pytest.mark.parametrize("name", [name for name, (_, length) in all_pcfgs().items() if length > 1])
def test_trees_are_derivations(name):
    """Every node's rule is in the grammar, spans tile, and the leaves yield the sentence, which is possible."""
    text, max_length = all_pcfgs()[name]
    language = PCFG.from_string(text, max_length)
    sentences = language.sample(200, generator(7))
    assert bool((language.log_prob(sentences.tokens, sentences.lengths) > -math.inf).all())
    for row, words in zip(sentences.latents["nodes"].tolist(), word_tuples(language, sentences), strict=True):
        nodes = [tuple(node) for node in row if node != [-1, -1, -1]]
        assert nodes[0] == (0, len(words), 0)
        assert _read_tree(language, nodes, words) == len(nodes)


def test_latents_can_be_left_out_and_change_nothing():
    language = PCFG.from_string(TREE_GRAMMAR)
    with_trees, without = (language.sample(50, generator(8), latents) for latents in (True, False))
    assert torch.equal(with_trees.tokens, without.tokens)
    assert set(with_trees.latents) == {"nodes"}
    assert without.latents == {}


def test_the_seed_decides_the_sentences():
    language = PCFG.from_string(TREE_GRAMMAR)
    same, again, other = (language.sample(50, generator(seed)).tokens for seed in (1, 1, 2))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_a_grammar_that_almost_never_ends_is_cut_at_its_length():
    """S -> S S [0.99]: all lengths up to 12, with the exact probabilities of the cut grammar (Catalan numbers)."""
    language = PCFG.from_string("S -> S S [0.99] | 'a' [0.01]", 12)
    mass = [math.comb(2 * n, n) / (n + 1) * 0.99**n * 0.01 ** (n + 1) for n in range(12)]
    exact = {n + 1: p / math.fsum(mass) for n, p in enumerate(mass)}
    for length, p in exact.items():
        assert float(language.length_log_prob[length]) == pytest.approx(math.log(p), abs=1e-10)
    assert_frequencies(language.sample(40_000, generator(9)).lengths.tolist(), exact)


def test_hmm_paths_by_table_and_compiled():
    """State paths and words of both samplers against the probabilities of all paths."""
    initial, transition, emission, _ = random_hmm_arrays(8)
    language = HMM(initial, transition, emission, 3)
    chain, start, words = language.transition, language.initial, language.emission
    exact = {}
    for path in itertools.product(range(len(start)), repeat=3):
        prior = float(start[path[0]] * chain[path[0], path[1]] * chain[path[1], path[2]])
        for string in itertools.product(range(language.vocab_size), repeat=3):
            exact[path, string] = prior * math.prod(float(words[z, x]) for z, x in zip(path, string, strict=True))
    sentences = language.sample(40_000, generator(3))
    for states, tokens in (
        (sentences.latents["states"], sentences.tokens),
        TensorChain(language.initial, language.blocks, language.emission).draw(40_000, 3, generator(4)),
    ):
        drawn = list(zip(map(tuple, states.tolist()), map(tuple, tokens.tolist()), strict=True))
        assert_frequencies(drawn, exact)
