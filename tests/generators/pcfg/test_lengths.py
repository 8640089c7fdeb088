"""PCFGs with wanted lengths, p(x) = weight(T) p(x | T), against the enumeration of all strings reweighted by length."""

import math

import pytest
import torch
from support.exactness import EXACT, assert_conditionals, assert_log_prob, assert_loss_floor
from support.oracles import enumerated
from support.random_languages import NAMED_PCFGS
from support.words import assert_frequencies, generator, word_tuples

from satlab.errors import InputError
from satlab.generators import PCFG, load_language
from satlab.generators.pcfg.grammar import read_text

WANTED = {
    "beyond-criticality": {1: 0.5, 3: 2.0, 6: 0.25},
    "unary-cycle": {2: 1, 4: 3, 5: 0},
    "long-rules": {3: 1.0, 4: 0.125, 5: 5.0},
    "gaps-in-length": {1: 1e-6, 4: 1.0, 5: 1e-3},
    "no-unary-rule": {4: 7.0},
}
"""name of a grammar -> length -> weight, with a weight of zero, one length alone, and very unequal ones."""


@pytest.fixture(scope="module", params=WANTED)
def pair(request):
    """(language, the same by enumeration, the enumeration without wanted lengths)."""
    text, max_length = NAMED_PCFGS[request.param]
    plain = enumerated(text, max_length)
    lengths = WANTED[request.param]
    return PCFG(read_text(text), max_length, lengths=lengths), plain.with_lengths(lengths), plain


def test_log_prob(pair):
    language, enumeration, plain = pair
    assert_log_prob(language, enumeration, sorted(plain.probabilities), whole=True)


def test_length_log_prob(pair):
    language, enumeration, _ = pair
    expected = torch.tensor(enumeration.length_log_prob(), dtype=torch.float64)
    torch.testing.assert_close(language.length_log_prob, expected, **EXACT)


def test_conditional(pair):
    """The length is given, so how likely it was plays no part."""
    language, enumeration, _ = pair
    assert_conditionals(language, enumeration, sorted(enumeration.probabilities)[:40], 0.4)


def test_samples(pair):
    language, enumeration, _ = pair
    sentences = language.sample(20_000, generator(2))
    assert_frequencies(word_tuples(language, sentences), enumeration.probabilities)
    shares = {length: math.exp(p) for length, p in enumerate(enumeration.length_log_prob()) if p > -math.inf}
    counts = sentences.lengths.bincount().tolist()
    assert {length for length, count in enumerate(counts) if count} <= set(shares)
    for length, share in shares.items():
        assert abs(counts[length] - 20_000 * share) <= 4.5 * math.sqrt(20_000 * share * (1 - share)) + 1e-9


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.3"])
def test_loss_floor(pair, masking):
    language, enumeration, _ = pair
    assert_loss_floor(language, enumeration, 4000, 3, masking, 1)


def test_a_saved_language_comes_back_bit_for_bit(pair, tmp_path):
    language, _, _ = pair
    back = load_language(language.save(str(tmp_path / "wanted")))
    assert torch.equal(back.length_log_prob, language.length_log_prob)
    assert back.lengths == language.lengths
    assert back.fingerprint() == language.fingerprint()


def test_only_the_ratio_of_the_weights_counts():
    text, max_length = NAMED_PCFGS["long-rules"]
    one, ten = (PCFG(read_text(text), max_length, lengths={3: w, 4: 3 * w}) for w in (1.0, 10.0))
    torch.testing.assert_close(one.length_log_prob, ten.length_log_prob, rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("lengths", "match"),
    [
        ({5: 1.0, 2: 1.0}, r"lengths: no sentence has 2 words, expected some of \[3, 4, 5\]"),
        ({7: 1.0}, "no sentence has 7 words"),
        ({0: 1.0}, "no sentence has 0 words"),
        ({-3: 1.0}, "no sentence has -3 words"),
        ({3: -1.0}, "the weight of 3 is -1.0"),
        ({3: math.inf}, "3: inf"),
        ({3: math.nan}, "3: nan"),
        ({3: 0.0, 4: 0}, "every weight is 0"),
        ({}, "lengths is empty"),
        ({"3": 1.0}, "'3': 1.0, expected an integer length"),
        ({3: "much"}, "3: 'much', expected an integer length and its weight"),
        ({3: True}, "3: True"),
        ({3.5: 1.0}, "3.5: 1.0"),
        ({3: [1]}, r"3: \[1\]"),
    ],
)
def test_what_is_refused(lengths, match):
    grammar = "S -> A 'x' B A [0.5] | A B A [0.5]\nA -> 'a' [0.5] | 'x' [0.5]\nB -> 'a' [0.4] | A A [0.6]"
    assert PCFG.from_string(grammar, 6).length_log_prob.isfinite().nonzero()[:, 0].tolist() == [3, 4, 5]
    with pytest.raises(InputError, match=match) as raised:
        load_language({"family": "pcfg", "grammar": grammar, "max_length": 6, "lengths": lengths})
    assert "\n" not in str(raised.value)
