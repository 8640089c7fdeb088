"""PCFGs against all strings, all trees, a textbook outside pass, and nltk."""

import itertools
import math

import nltk
import numpy as np
import pytest
import torch
from support.exactness import EXACT, assert_conditionals, assert_log_prob, assert_loss_floor, some_of
from support.oracles import InsideOutside, PcfgOracle, enumerated
from support.random_languages import NAMED_PCFGS, NUM_PCFGS, all_pcfgs
from support.words import encode, generator

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.latent import batching
from satlab.generators.latent.batching import mixes

STRINGS = 30
"""Strings of a language whose conditionals are compared."""

CNF = """
S -> A B [0.5] | B A [0.25] | S S [0.125] | 'b' [0.125]
A -> A B [0.5] | 'a' [0.375] | 'c' [0.125]
B -> S A [0.25] | 'b' [0.5] | 'a' [0.25]
"""

TREE_GRAMMARS = {
    "cnf": (CNF, 5),
    "unary-chain": ("S -> A [0.5] | B A [0.5]\nA -> B [0.5] | B B [0.25] | 'a' [0.25]\nB -> 'a' [0.5] | 'b' [0.5]", 4),
    "long-rules": NAMED_PCFGS["long-rules"],
    "word-in-rule": ("S -> A 'x' S [0.25] | A [0.5] | 'x' A [0.25]\nA -> S S [0.25] | 'a' [0.75]", 5),
}
"""Without unary cycles: finitely many trees."""


@pytest.fixture(scope="module", params=all_pcfgs())
def pair(request):
    """(language, enumeration of all strings, some of the possible strings, a random hidden set for each)."""
    text, max_length = all_pcfgs()[request.param]
    enumeration = enumerated(text, max_length)
    rng = np.random.default_rng(len(text))
    strings = some_of(enumeration.probabilities, STRINGS, rng)
    hidden = torch.from_numpy(rng.random((len(strings), max(map(len, strings)))) < 0.5)
    return PCFG.from_string(text, max_length), enumeration, strings, hidden


@pytest.fixture(params=[math.inf, 0], ids=["by-length", "side-by-side"])
def order(request, monkeypatch):
    """Both ways in which sentences of different lengths are worked on."""
    monkeypatch.setattr(batching, "LEAST_GAIN", request.param)
    return request.param


def test_the_languages_cover_the_cases():
    """Among the random grammars are hard zeros, unary cycles and long rules with words in them."""
    grammars = [nltk.PCFG.fromstring(text) for name, (text, _) in all_pcfgs().items() if name.startswith("random")]
    rules = [[(rule.lhs(), rule.rhs(), rule.prob()) for rule in grammar.productions()] for grammar in grammars]
    assert len(grammars) == NUM_PCFGS >= 20
    assert sum(any(p == 0 for _, _, p in g) for g in rules) > 3
    assert sum(any(rhs == (lhs,) and p > 0 for lhs, rhs, p in g) for g in rules) > 3
    assert (
        sum(any(len(rhs) > 2 and {str, nltk.Nonterminal} == set(map(type, rhs)) for _, rhs, _ in g) for g in rules) > 3
    )


@pytest.mark.usefixtures("order")
def test_log_prob_is_that_of_the_original_rules(pair):
    language, enumeration, _, _ = pair
    lengths = range(1, language.max_length + 1)
    strings = list(itertools.chain(*(itertools.product(language.words, repeat=n) for n in lengths)))
    assert_log_prob(language, enumeration, strings, whole=True)


def test_length_log_prob(pair):
    language, enumeration, _, _ = pair
    expected = torch.tensor(enumeration.length_log_prob(), dtype=torch.float64)
    torch.testing.assert_close(language.length_log_prob, expected, **EXACT)
    assert float(language.log_mass.logsumexp(0)) == pytest.approx(math.log(enumeration.total), abs=1e-10)


@pytest.mark.usefixtures("order")
@pytest.mark.parametrize("hide", ["nothing", "several", "everything"])
def test_conditional_is_that_of_all_strings(pair, hide):
    language, enumeration, strings, several = pair
    hidden = {"nothing": several & False, "several": several, "everything": several | True}[hide]
    assert_conditionals(language, enumeration, strings, hidden)


@pytest.mark.parametrize("string", ["b", "a b b a c b", "b a a b b", "c a b c a b b a"])
def test_textbook_outside_pass(string):
    """p(x_t | the others) and the normalising inside score against Lari and Young's recursions for a CNF grammar."""
    words = string.split()
    language, textbook = PCFG.from_string(CNF, 8), InsideOutside(nltk.PCFG.fromstring(CNF), words)
    tokens, _ = encode(language, [words])
    log_z = float(language.log_prob(tokens) + language.log_normaliser(len(words)))
    assert log_z == pytest.approx(math.log(textbook.e[0, len(words) - 1, textbook.start]), abs=1e-10)
    conditional = language.conditional(tokens)[0]
    for t in range(len(words)):
        expected = textbook.conditional(t)
        row = torch.tensor([expected.get(word, 0.0) for word in language.words], dtype=torch.float64)
        torch.testing.assert_close(conditional[t], row, **EXACT)


@pytest.mark.parametrize("name", TREE_GRAMMARS)
def test_span_posterior_is_that_of_all_trees(name):
    """p(topmost symbol over a span) by counting it in every derivation tree of a string."""
    text, max_length = TREE_GRAMMARS[name]
    language, oracle = PCFG.from_string(text, max_length), PcfgOracle(nltk.PCFG.fromstring(text))
    strings = sorted(oracle.enumeration(max_length).probabilities)[::3]
    own = language.rules.num_original
    number = {symbol: i for i, symbol in enumerate(language.symbols[:own])}
    expected = torch.zeros(len(strings), max_length, max_length, own, dtype=torch.float64)
    for row, string in enumerate(strings):
        trees = oracle.trees(oracle.start, string)
        total = math.fsum(p for p, _ in trees)
        for p, nodes in trees:
            topmost = {}
            for start, width, symbol in nodes:
                topmost.setdefault((start, width), symbol)
            for (start, width), symbol in topmost.items():
                expected[row, start, width - 1, number[symbol]] += p / total
    tokens, lengths = encode(language, strings)
    posterior = language.posterior(tokens, lengths)
    width = tokens.shape[1]
    torch.testing.assert_close(posterior[..., :own], expected[:, :width, :width], **EXACT)


def test_span_posterior_with_hidden_words():
    """Given only the visible words, the posterior averages over what the hidden ones may be."""
    language = PCFG.from_string(CNF, 4)
    oracle = PcfgOracle(nltk.PCFG.fromstring(CNF))
    strings = [s for s in oracle.enumeration(4).probabilities if len(s) == 4 and s[1] == "a" and s[3] == "b"]
    tokens, lengths = encode(language, strings)
    weights = language.log_prob(tokens, lengths).softmax(0)
    expected = (weights[:, None, None, None] * language.posterior(tokens, lengths)).sum(0)
    hidden = torch.tensor([[True, False, True, False]])
    torch.testing.assert_close(language.posterior(tokens[:1], None, hidden)[0], expected, **EXACT)


def test_nltk_viterbi_agrees_where_there_is_one_tree():
    grammar = nltk.PCFG.fromstring("S -> 'a' S 'b' [0.5] | T [0.5]\nT -> 'c' T [0.25] | 'c' [0.75]")
    language, parser = PCFG.from_nltk(grammar, 7), nltk.ViterbiParser(grammar)
    for string in ("c", "a c b", "c c c c", "a a c c b b", "a a c c c b b"):
        [tree] = parser.parse(string.split())
        log_z = language.log_prob(*encode(language, [string.split()])) + language.log_normaliser(len(string.split()))
        assert float(log_z) == pytest.approx(math.log(tree.prob()), abs=1e-10)


def test_nltk_chart_parser_agrees_over_all_trees():
    """The inside score is the sum over nltk's parses of an ambiguous grammar."""
    grammar = nltk.PCFG.fromstring(CNF)
    language, parser = PCFG.from_nltk(grammar, 6), nltk.InsideChartParser(grammar)
    for string in ("b", "a b", "a b b a", "b a b a b"):
        total = math.fsum(tree.prob() for tree in parser.parse(string.split()))
        log_z = language.log_prob(*encode(language, [string.split()])) + language.log_normaliser(len(string.split()))
        assert float(log_z) == pytest.approx(math.log(total), abs=1e-10)


@pytest.mark.parametrize("name", all_pcfgs())
def test_nltk_round_trip_keeps_every_bit(name):
    """Start, rules and probabilities come back as they are, but for rules of probability zero."""
    text, max_length = all_pcfgs()[name]
    grammar = nltk.PCFG.fromstring(text)
    back = PCFG.from_nltk(grammar, max_length).to_nltk()
    listed = lambda g: sorted((str(r.lhs()), repr(r.rhs()), r.prob()) for r in g.productions() if r.prob() > 0)
    assert back.start() == grammar.start()
    assert listed(back) == listed(grammar)
    assert all(rule.prob() > 0 for rule in back.productions())


@pytest.mark.parametrize("length", [1, 2, 7])
def test_chart_work(length):
    """With one pair of children the products are the splits of all spans: T (T^2 - 1) / 6 for T words."""
    grammar = PCFG.from_string("S -> S S [0.5] | 'a' [0.5]", 9).grammar
    expected = length * (length**2 - 1) / 6
    assert PCFG(grammar, 9, lengths={length: 1.0}).chart_work() == pytest.approx(expected, abs=1e-12)
    both = PCFG(grammar, 9, lengths={length: 0.25, 3: 0.75})
    assert both.chart_work() == pytest.approx(0.25 * expected + 0.75 * 4)


def test_default_max_length():
    """The longest sentence where there is one, else 32."""
    assert PCFG.from_string("S -> A A 'x' [0.5] | 'x' [0.5]\nA -> 'a' 'a' 'a' [1.0]").max_length == 7
    assert PCFG.from_string("S -> A [0.5] | 'x' A [0.5]\nA -> A [0.5] | 'a' [0.5]").max_length == 2
    assert PCFG.from_string("S -> 'a' S [0.5] | 'a' [0.5]").max_length == 32


def test_which_way_sentences_of_different_lengths_go():
    """Side by side where that halves the groups of eight: 8 sentences of 8 lengths, not 8 of each of two."""
    language = PCFG.from_string("S -> S S [0.5] | 'a' [0.5]", 32)
    assert mixes(torch.arange(1, 9), language.together)
    assert mixes(torch.tensor([1, 2]), language.together)
    assert not mixes(torch.tensor([4]), language.together)
    assert not mixes(torch.tensor([3] * 8 + [4] * 8), language.together)
    assert not mixes(torch.tensor([], dtype=torch.long), language.together)


def test_both_ways_agree_on_long_sentences(monkeypatch):
    language = load_language("cfg3b")
    sentences = language.sample(2, generator(1))
    found = []
    for gain in (math.inf, 0):
        monkeypatch.setattr(batching, "LEAST_GAIN", gain)
        conditional = language.conditional(sentences.tokens, sentences.lengths)
        found.append((language.log_prob(sentences.tokens, sentences.lengths), conditional))
    (log_prob, conditional), (expected_log_prob, expected) = found
    torch.testing.assert_close(log_prob, expected_log_prob, rtol=1e-12, atol=0)
    torch.testing.assert_close(conditional, expected, **EXACT)
    assert float(conditional.sum()) == pytest.approx(int(sentences.lengths.sum()))


@pytest.mark.usefixtures("order")
def test_conditionals_in_single_precision():
    language = load_language("liu2022-pcfg")
    sentences = language.sample(20, generator(2))
    exact = language.conditional(sentences.tokens, sentences.lengths)
    single = language.conditional(sentences.tokens, sentences.lengths, dtype=torch.float32)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), exact, rtol=1e-5, atol=1e-7)


@pytest.mark.usefixtures("order")
def test_sentences_that_are_none_name_themselves():
    language = PCFG.from_string("S -> 'a' S 'b' [0.5] | 'a' 'b' [0.5]", 6)
    tokens = torch.tensor([[0, 1, 2, 2, 2, 2], [0, 0, 1, 1, 2, 2], [0, 0, 0, 1, 1, 0]])
    assert language.log_prob(tokens)[2] == -math.inf
    assert language.log_prob(tokens)[:2].isfinite().all()
    with pytest.raises(InputError, match="sentence 2 is impossible"):
        language.conditional(tokens)


@pytest.mark.usefixtures("order")
def test_a_length_no_sentence_has_is_refused():
    """Sentences of 3 or 5 words have probability zero, and no conditional."""
    language = PCFG.from_string("S -> 'a' 'b' [0.5] | S S [0.5]", 4)
    tokens = torch.tensor([[0, 1, 0], [0, 1, language.pad_id]])
    assert language.log_prob(tokens)[0] == -math.inf
    assert language.log_prob(torch.tensor([[0, 1, 0, 1, 0]])).tolist() == [-math.inf]
    with pytest.raises(InputError, match=r"sentence 0 has 3 words.*between 2 and 4"):
        language.conditional(tokens)


@pytest.mark.parametrize(
    ("masking", "name"), [("one", "long-rules"), ("one", "no-unary-rule"), ("bernoulli:0.3", "unary-cycle")]
)
def test_loss_floor(masking, name):
    """Against the entropy of the truth by enumeration of all strings (and hidden sets), within 4 standard errors."""
    text, max_length = NAMED_PCFGS[name]
    enumeration = enumerated(text, max_length)
    language = PCFG.from_string(text, max_length)
    assert assert_loss_floor(language, enumeration, 20_000, 1, masking, 0.05).stderr > 0
