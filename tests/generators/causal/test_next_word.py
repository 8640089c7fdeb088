"""p(x_{t+1} | x_1 .. x_t) and the sentence's end: against sums over all strings, and by the chain rule."""

import itertools

import pytest
import torch
from support.exactness import assert_chain_rule
from support.oracles import HmmOracle, enumerated
from support.random_languages import NAMED_PCFGS, NUM_HMMS, all_pcfgs, random_hmm_arrays
from support.words import encode, generator

from satlab.errors import InputError
from satlab.generators import HMM, PCFG, load_language

EXACT = {"rtol": 1e-10, "atol": 1e-12}


def beginnings(enumeration, most=40):
    """Some beginnings of possible strings, the empty one left out, the strings themselves among them."""
    found = {string[:t] for string in enumeration.probabilities for t in range(1, len(string) + 1)}
    return sorted(found)[:: max(1, len(found) // most)]


def expected_rows(language, enumeration, beginning):
    """[len(beginning) + 1, V + 1] by summing the probabilities of all strings that begin so."""
    number = {word: i for i, word in enumerate(language.words)}
    table = torch.zeros(len(beginning) + 1, language.vocab_size + 1, dtype=torch.float64)
    for t in range(len(beginning) + 1):
        for string, p in enumeration.probabilities.items():
            if string[:t] == beginning[:t]:
                column = number[str(string[t])] if len(string) > t else language.vocab_size
                table[t, column] += p
    return table / table.sum(1, keepdim=True)


def assert_next_word(language, enumeration):
    strings = beginnings(enumeration)
    tokens, lengths = encode(language, strings)
    out = language.next_word(tokens, lengths)
    assert out.shape == (len(strings), tokens.shape[1] + 1, language.vocab_size + 1)
    for row, string in enumerate(strings):
        torch.testing.assert_close(out[row, : len(string) + 1], expected_rows(language, enumeration, string), **EXACT)
        assert not out[row, len(string) + 1 :].any()


@pytest.mark.parametrize("name", all_pcfgs())
def test_pcfg_against_enumeration(name):
    text, max_length = all_pcfgs()[name]
    assert_next_word(PCFG.from_string(text, max_length), enumerated(text, max_length))


@pytest.mark.parametrize("seed", range(NUM_HMMS))
def test_hmm_against_enumeration(seed):
    initial, transition, emission, length = random_hmm_arrays(seed)
    language = HMM(initial, transition, emission, length)
    assert_next_word(language, HmmOracle(initial, transition, emission, length).enumeration())


def test_pcfg_with_wanted_lengths_against_enumeration():
    """The lengths' weights come in where the sentence may end, and through what may still follow."""
    text, _ = NAMED_PCFGS["self-loop"]
    wanted = {2: 0.5, 3: 0.125, 5: 0.375}
    enumeration = enumerated(text, 5).with_lengths(wanted)
    assert_next_word(PCFG(PCFG.from_string(text).grammar, 5, lengths=wanted), enumeration)


@pytest.mark.parametrize("source", ["demo-pcfg", "demo-hmm", {"preset": "demo-hmm", "length": 300}])
def test_chain_rule(source):
    language = load_language(source)
    sentences = language.sample(60, generator(3))
    assert_chain_rule(language, sentences.tokens, sentences.lengths)


@pytest.mark.parametrize("name", ["beyond-criticality", "unary-cycle", "long-rules"])
def test_chain_rule_over_long_sentences(name):
    language = PCFG.from_string(NAMED_PCFGS[name][0], 24)
    sentences = language.sample(20, generator(4))
    assert_chain_rule(language, sentences.tokens, sentences.lengths)


def test_pcfg_over_all_strings_of_words():
    """Whatever begins no sentence is refused by name, everything else sums to one."""
    language = PCFG.from_string(NAMED_PCFGS["gaps-in-length"][0], 6)
    possible = {
        string[:t] for string in enumerated(NAMED_PCFGS["gaps-in-length"][0], 6).probabilities for t in range(1, 7)
    }
    for string in itertools.product(language.words, repeat=4):
        tokens, lengths = encode(language, [("b",), string])
        if string in possible:
            torch.testing.assert_close(language.next_word(tokens, lengths).sum((1, 2)).tolist(), [2.0, 5.0])
        else:
            with pytest.raises(InputError, match="sentence 1: no sentence of the language begins with its first"):
                language.next_word(tokens, lengths)


def test_hmm_refuses_what_it_cannot_begin_with():
    language = HMM([1.0, 0.0], [[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]], 4)
    with pytest.raises(InputError, match="sentence 1"):
        language.next_word(torch.tensor([[0, 1], [1, 1]]))


@pytest.mark.parametrize("language", [PCFG.from_string("S -> S S [0.5] | 'a' [0.5]", 3), load_language("demo-hmm")])
def test_too_long_a_sentence_is_refused(language):
    with pytest.raises(InputError, match="sentence 1 has 9 words, expected at most"):
        language.next_word(torch.zeros(2, 9, dtype=torch.long), torch.tensor([2, 9]))


@pytest.mark.parametrize("source", ["demo-pcfg", "demo-hmm"])
def test_does_not_depend_on_the_batch(source):
    language = load_language(source)
    sentences = language.sample(11, generator(5))
    together = language.next_word(sentences.tokens, sentences.lengths)
    for row in (0, 7, 8, 10):
        alone = language.next_word(sentences.tokens[row : row + 1], sentences.lengths[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], rtol=1e-14, atol=0)
