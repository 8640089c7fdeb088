"""The compiled passes against those over tensors, against logs, and against themselves on other batches and threads."""

import math

import nltk
import numpy as np
import pytest
import torch
from support.oracles import PcfgOracle, log_inside_cnf
from support.random_languages import NAMED_PCFGS, all_pcfgs
from support.words import encode, generator

from satlab.generators import PCFG, layered_pcfg, load_language
from satlab.generators.kernels.chart import inside, inside_outside
from satlab.generators.pcfg.chart.tensor import START, TensorCharts

EXACT = {"rtol": 1e-11, "atol": 0}


def layered():
    return layered_pcfg([4, 5, 5, 5], [3, 8, 8], 30, generator(2), words_per_symbol=20, exit_probability=(0.1, 0.3))


def random_cnf(symbols, rules, words, seed, max_length):
    """Unlayered: every symbol has `rules` random pairs and all words; enough pairs for several blocks."""
    rng = np.random.default_rng(seed)
    lines = []
    for a in range(symbols):
        pairs = rng.choice(symbols**2, rules, replace=False)
        shares = rng.dirichlet(np.ones(rules + words))
        right = [f"N{pair // symbols} N{pair % symbols}" for pair in pairs] + [f"'w{v}'" for v in range(words)]
        lines.append(f"N{a} -> " + " | ".join(f"{r} [{p:.17f}]" for r, p in zip(right, shares, strict=True)))
    return PCFG.from_string("\n".join(lines), max_length)


def by_tensors(language, scores):
    """(log Z, d log Z / d scores) by the passes over tensors."""
    tables, length = language.tables, scores.shape[1]
    charts = tables.inside(scores)
    log_z = charts.log_prefix(length, START)[:, 0]
    alpha, log_scale = tables.outside(charts, length)[1]
    return log_z, (alpha @ tables.leaf_to_symbol.T) * (log_scale - log_z[:, None]).exp()[..., None]


def compiled(language, scores):
    plan = language.tables.sentence_plan(scores.shape[1])
    log_z, margins, log_scale = map(torch.from_numpy, inside_outside(plan, scores.numpy()))
    return log_z, margins * (log_scale - log_z[:, None]).exp()[..., None]


def possible_lengths(language):
    return (language.length_log_prob > -torch.inf).nonzero()[:, 0].tolist()


@pytest.mark.parametrize("name", all_pcfgs())
def test_random_evidence_on_small_grammars(name):
    """Any scores are evidence, not words alone: with exact zeros, at every length; 13 sentences fill two groups."""
    language = PCFG.from_string(*all_pcfgs()[name])
    for length in possible_lengths(language):
        scores = torch.rand(13, length, len(language.emission), generator=generator(length), dtype=torch.float64)
        scores[5:, ::2] *= torch.rand(8, len(language.emission), generator=generator(1)).gt(0.3)[:, None]
        log_z, gradient = compiled(language, scores)
        expected_z, expected = by_tensors(language, scores)
        torch.testing.assert_close(log_z, expected_z, **EXACT)
        alive = log_z > -torch.inf
        torch.testing.assert_close(gradient[alive], expected[alive], rtol=1e-11, atol=1e-300)


@pytest.mark.parametrize("make", [layered, lambda: random_cnf(25, 40, 6, 3, 12)], ids=["layered", "unlayered"])
def test_sentences_of_larger_grammars(make):
    """The unlayered grammar has over 384 pairs, so that the sums go by blocks."""
    language = make()
    sentences = language.sample(300, generator(7))
    for length in sentences.lengths.unique().tolist():
        tokens = sentences.tokens[sentences.lengths == length, :length]
        scores = language.leaf_scores(tokens, torch.zeros_like(tokens, dtype=torch.bool))
        log_z, gradient = compiled(language, scores)
        expected_z, expected = by_tensors(language, scores)
        torch.testing.assert_close(log_z, expected_z, **EXACT)
        torch.testing.assert_close(gradient, expected, rtol=1e-11, atol=1e-300)


def test_prefix_scores_of_all_symbols():
    language = random_cnf(8, 10, 4, 1, 9)
    tokens = torch.randint(4, (21, 7), generator=generator(0))
    scores = language.leaf_scores(tokens, torch.zeros_like(tokens, dtype=torch.bool))
    ours = torch.from_numpy(inside(language.tables.prefix_plan(7), scores.numpy()))
    torch.testing.assert_close(ours, language.tables.inside(scores).log_prefix(7), **EXACT)


def mixed_evidence(language, n, seed):
    """(scores, lengths): random evidence with hard zeros for sentences of all possible lengths, in no order."""
    lengths = torch.tensor(possible_lengths(language))
    lengths = lengths[torch.randint(len(lengths), (n,), generator=generator(seed))]
    shape = (n, int(lengths.max()), len(language.emission))
    scores = torch.rand(shape, generator=generator(seed), dtype=torch.float64)
    scores *= torch.rand(shape, generator=generator(seed + 1)) > 0.1
    scores[torch.arange(shape[1]) >= lengths[:, None]] = 0
    return scores, lengths


@pytest.mark.parametrize("name", all_pcfgs())
def test_sentences_of_different_lengths_side_by_side(name):
    """Each is what it is alone, by tensors: 21 sentences fill three groups, in each of which lengths differ."""
    language = PCFG.from_string(*all_pcfgs()[name])
    scores, lengths = mixed_evidence(language, 21, 3)
    plan = language.tables.beginnings_plan()
    log_z, margins, log_scale = map(torch.from_numpy, inside_outside(plan, scores.numpy(), lengths.numpy()))
    tops = torch.from_numpy(inside(plan, scores.numpy(), lengths.numpy()))[:, 0]
    for row, length in enumerate(lengths.tolist()):
        expected_z, expected = by_tensors(language, scores[row : row + 1, :length])
        torch.testing.assert_close(log_z[row], expected_z[0], **EXACT)
        torch.testing.assert_close(tops[row], expected_z[0], **EXACT)
        if log_z[row] > -torch.inf:
            share = margins[row] * (log_scale[row] - log_z[row]).exp()[:, None]
            torch.testing.assert_close(share[:length], expected[0], rtol=1e-11, atol=1e-300)
        assert not margins[row, length:].any()


def assert_prefix_factors(language, scores, lengths, widths):
    """The posteriors alpha * beta, and what each symbol is offered where it could be."""
    expected_z, expected_alpha, expected_beta = TensorCharts(language.tables).prefix_factors(scores, lengths, widths)
    log_z, alpha, beta = language.charts.prefix_factors(scores, lengths, widths)
    torch.testing.assert_close(log_z, expected_z, **EXACT)
    possible = log_z > -torch.inf
    expected = (expected_alpha * expected_beta)[possible]
    torch.testing.assert_close((alpha * beta)[possible], expected, rtol=1e-10, atol=1e-300)
    assert float(expected.max()) > 0.01


@pytest.mark.parametrize("name", all_pcfgs())
def test_prefixes_of_different_widths_of_different_lengths(name):
    """Of each sentence three widths of its own, the same one twice where it is short."""
    language = PCFG.from_string(*all_pcfgs()[name])
    scores, lengths = mixed_evidence(language, 21, 5)
    widths = 1 + (torch.rand(21, 3, generator=generator(1)) * lengths[:, None]).long()
    widths[:, 0] = lengths
    assert_prefix_factors(language, scores, lengths, widths)


def test_prefixes_of_sentences_of_a_larger_grammar():
    language = layered()
    sentences = language.sample(60, generator(7))
    after = torch.arange(sentences.tokens.shape[1]) >= sentences.lengths[:, None]
    scores = language.leaf_scores(sentences.tokens, after).masked_fill(after[..., None], 0.0)
    widths = torch.stack([sentences.lengths, sentences.lengths.clamp(max=4), sentences.lengths // 2], 1)
    assert_prefix_factors(language, scores, sentences.lengths, widths)


def test_log_partition_is_differentiable():
    language = PCFG.from_string(NAMED_PCFGS["unary-cycle"][0], 5)
    scores = torch.rand(3, 4, len(language.emission), generator=generator(0), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(language.log_partition, (scores,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["unary-cycle", "long-rules"])
def test_neither_threads_nor_batches_change_a_bit(name):
    language = PCFG.from_string(NAMED_PCFGS[name][0], 12)
    sentences = language.sample(70, generator(1))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = language.conditional(sentences.tokens, sentences.lengths)
        torch.set_num_threads(3)
        many = language.conditional(sentences.tokens, sentences.lengths)
        drawn = language.sample(70, generator(1))
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(one, many, rtol=1e-15, atol=0)
    assert torch.equal(drawn.tokens, sentences.tokens)
    assert torch.equal(drawn.latents["nodes"], sentences.latents["nodes"])


LONG = "S -> A S [0.495] | B B [0.005] | 'a' [0.5]\nA -> B A [0.3] | 'b' [0.7]\nB -> 'c' [0.999] | S A [0.001]"


@pytest.mark.parametrize("length", [100, pytest.param(250, marks=pytest.mark.slow)])
def test_hundreds_of_words_against_logs(length):
    """The p of 250 words is e^-300 or less; errors are relative, for log p and for every conditional at a position."""
    language = PCFG(PCFG.from_string(LONG, length).grammar, length, lengths={length: 1.0})
    tokens = language.sample(1, generator(8)).tokens
    grammar = nltk.PCFG.fromstring(LONG)
    rules = [(rule.lhs(), rule.rhs(), rule.prob()) for rule in grammar.productions()]
    words = [language.words[token] for token in tokens[0]]
    expected = log_inside_cnf(rules, grammar.start(), words)
    log_z = float(language.log_prob(tokens)[0] + language.log_normaliser(length))
    assert log_z == pytest.approx(expected, rel=1e-9)
    conditional = language.conditional(tokens)[0, length // 3]
    variants = [[*words[: length // 3], word, *words[length // 3 + 1 :]] for word in language.words]
    logs = torch.tensor([log_inside_cnf(rules, grammar.start(), variant) for variant in variants], dtype=torch.float64)
    torch.testing.assert_close(conditional, logs.softmax(0), rtol=1e-9, atol=1e-14)


def test_the_next_word_of_hundreds_of_words():
    """The chain rule over 150 words, with all conditionals from one pass, against the probability of the sentence."""
    language = PCFG.from_string(LONG, 150)
    sentences = PCFG(language.grammar, 150, lengths={140: 0.5, 150: 0.5}).sample(3, generator(2))
    assert sentences.lengths.unique().tolist() == [140, 150]
    rows = language.next_word(sentences.tokens, sentences.lengths)
    following = torch.nn.functional.pad(sentences.tokens, (0, 1), value=language.pad_id)
    steps = rows.gather(2, following[..., None])[..., 0].log()
    inside_it = torch.arange(151) <= sentences.lengths[:, None]
    log_prob = torch.where(inside_it, steps, 0.0).sum(1)
    torch.testing.assert_close(log_prob, language.log_prob(sentences.tokens, sentences.lengths), rtol=1e-11, atol=0)


APART = "S -> A X [0.5] | Y A [0.5]\nA -> A A [0.5] | 'a' [0.5]\nX -> 'x' [{0}] | 'y' [{1}]\nY -> 'y' [{0}] | 'x' [{1}]"


def test_parts_of_a_sum_hundreds_of_powers_of_ten_apart():
    """One split of a span would be e^500 times another, but no rule fills it: the small one is the whole truth."""
    tiny = "0." + "0" * 99 + "1"
    text = APART.format(tiny, repr(1.0))
    language = PCFG.from_string(text, 5)
    grammar = nltk.PCFG.fromstring(text)
    strings = [("a", "a", "x"), ("y", "a", "a", "a"), ("a", "x"), ("a", "y"), ("x", "a")]
    oracle = PcfgOracle(grammar)
    log_prob = language.log_prob(*encode(language, strings))
    for row, string in enumerate(strings):
        expected = math.log(oracle.inside(string)[grammar.start()]) - float(language.log_normaliser(len(string)))
        assert float(log_prob[row]) == pytest.approx(expected, rel=1e-12)


def test_a_plan_leaves_out_what_a_length_cannot_hold():
    """demo-pcfg: binary trees of depth 3, so a sentence of 8 words has spans of 8, 4, 2 and 1 words and no others."""
    plan = load_language("demo-pcfg").tables.sentence_plan(8)
    assert plan.slots.tolist() == [0, 4, 4, 0, 4, 0, 0, 0, 5]
