"""Dyck-k of bounded length and depth against all strings of brackets, sorted out by a stack."""

import itertools
import math

import numpy as np
import pytest
import torch
from support.exactness import EXACT, assert_chain_rule, assert_conditionals, assert_log_prob, some_of
from support.oracles import Enumeration, PcfgOracle
from support.words import assert_frequencies, encode, generator, word_tuples

from satlab.errors import InputError
from satlab.generators import Sentences, load_language

SMALL = {
    "one kind": {"kinds": 1, "max_length": 10},
    "two kinds": {"kinds": 2, "max_length": 6, "continuation": 0.3},
    "shallow": {"kinds": 1, "max_length": 10, "max_depth": 2, "continuation": 0.4},
    "flat": {"kinds": 2, "max_length": 6, "max_depth": 1, "continuation": 0.8},
    "deep enough": {"kinds": 1, "max_length": 8, "max_depth": 4},
    "wanted lengths": {"kinds": 2, "max_length": 6, "max_depth": 2, "lengths": {2: 1, 6: 3.5}},
}


def depths(string):
    """The number of open brackets after each word, by a stack; None where the brackets do not match."""
    stack, out = [], []
    for word in string:
        if word[0] == "(":
            stack.append(word[1:])
        elif not stack or stack.pop() != word[1:]:
            return None
        out.append(len(stack))
    return out if not stack else None


def enumeration_of(kinds, max_length, continuation=0.5, max_depth=None, lengths=None):
    """p(string) proportional to (q (1 - q) / k)^pairs, or weight(length) over the strings of that length."""
    words = "()" if kinds == 1 else [f"{b}{i}" for i in range(1, kinds + 1) for b in "()"]
    strings = []
    for length in range(2, max_length + 1, 2):
        for string in itertools.product(words, repeat=length):
            found = depths(string)
            if found and max(found) <= (max_depth or max_length):
                strings.append(string)
    per_pair = continuation * (1 - continuation) / kinds
    weights = {string: per_pair ** (len(string) // 2) for string in strings}
    if lengths is not None:
        count = {length: sum(len(s) == length for s in strings) for length in lengths}
        weights = {s: lengths.get(len(s), 0) / count.get(len(s), 1) for s in strings}
    return Enumeration(weights, max_length)


@pytest.fixture(scope="module", params=SMALL)
def pair(request):
    keys = SMALL[request.param]
    return load_language({"family": "dyck"} | keys), enumeration_of(**keys)


def test_probabilities_are_alike_for_a_length(pair):
    language, enumeration = pair
    assert_log_prob(language, enumeration, sorted(enumeration.probabilities), whole=True)
    lengths = torch.tensor(enumeration.length_log_prob(), dtype=torch.float64)
    torch.testing.assert_close(language.length_log_prob, lengths, **EXACT)


@pytest.mark.parametrize("name", ["two kinds", "shallow"])
def test_the_grammar_yields_nothing_else(name):
    """The grammar as nltk has it, by inside scores over all strings: the same ones, with the same probabilities."""
    keys = SMALL[name] | {"max_length": 4}
    language, exact = load_language({"family": "dyck"} | keys), enumeration_of(**keys)
    found = PcfgOracle(language.to_nltk()).enumeration(4)
    assert set(found.probabilities) == set(exact.probabilities)
    for string, p in found.probabilities.items():
        assert p == pytest.approx(exact.probabilities[string], rel=1e-12)


def test_the_formula_of_the_grammar():
    """p = q^(n-1) (1-q)^(n+1) / k^n for n pairs, before the cut; and the mass of a length is Catalan."""
    q, k = 0.3, 2
    language = load_language({"family": "dyck", "kinds": k, "max_length": 12, "continuation": q})
    for n in range(1, 7):
        catalan = math.comb(2 * n, n) / (n + 1)
        exact = math.log(catalan * q ** (n - 1) * (1 - q) ** (n + 1))
        assert float(language.log_mass[2 * n]) == pytest.approx(exact, abs=1e-10)


def test_q_and_its_complement_are_one_language():
    strings = [("(1", ")1"), ("(2", "(1", ")1", ")2"), ("(1", ")1", "(1", ")1", "(2", ")2")]
    for depth in (None, 2):
        keys = {"family": "dyck", "kinds": 2, "max_length": 8, "max_depth": depth}
        one, other = (load_language(keys | {"continuation": q}) for q in (0.2, 0.8))
        first, second = (language.log_prob(*encode(language, strings)) for language in (one, other))
        torch.testing.assert_close(first, second, **EXACT)


@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_conditional_is_that_of_all_strings(pair, rate):
    language, enumeration = pair
    strings = some_of(enumeration.probabilities, 20, np.random.default_rng(0))
    assert_conditionals(language, enumeration, strings, rate)


def test_one_hidden_word_is_certain(pair):
    assert pair[0].loss_floor(50, generator()).value == pytest.approx(0, abs=1e-12)


def test_the_chain_rule(pair):
    language, enumeration = pair
    assert_chain_rule(language, *encode(language, sorted(enumeration.probabilities)[::5]))


def test_sampled_frequencies(pair):
    language, enumeration = pair
    sentences = language.sample(20_000, generator(1))
    assert_frequencies(word_tuples(language, sentences), enumeration.probabilities)


def test_depth_tasks(pair):
    """Depths by a stack, 0 after the end; the classes are the depths that occur."""
    language, enumeration = pair
    strings = sorted(enumeration.probabilities)
    tokens, lengths = encode(language, strings)
    given = {"max_depth": language.max_depth, "continuation": language.continuation, "lengths": language.lengths}
    for words in range(1, language.max_length):
        keys = {"family": "dyck", "kinds": language.kinds, "max_length": language.max_length} | given
        task = load_language(keys | {"task_positions": [words]}).tasks[f"depth-{words}"]
        expected = [depths(string)[words - 1] if words <= len(string) else 0 for string in strings]
        assert [int(task.classes[label]) for label in task.labels(Sentences(tokens, lengths)).tolist()] == expected
        assert sorted(set(expected)) == [int(name) for name in task.classes]
    assert task.bayes_accuracy(10, generator()).value == 1.0


@pytest.mark.parametrize("name", ["dyck-1", "dyck-2"])
def test_presets(name):
    language = load_language(name)
    assert (language.max_length, language.vocab_size) == (16, 2 * language.kinds)
    assert list(language.tasks) == ["depth-4", "depth-8", "depth-12"]
    sentences = language.sample(500, generator())
    strings = word_tuples(language, sentences)
    assert max(max(depths(string)) for string in strings) <= {"dyck-1": 8, "dyck-2": 4}[name]
    assert {len(string) for string in strings} == set(range(2, 17, 2))


@pytest.mark.parametrize(
    "keys", [*SMALL.values(), SMALL["one kind"] | {"task_positions": [3, 5], "continuation": 1 / 3}]
)
def test_save_and_load(tmp_path, keys):
    language = load_language({"family": "dyck"} | keys)
    path = language.save(str(tmp_path / "d"))
    back = load_language(path)
    assert path == str(tmp_path / "d.yaml")
    assert [(str(r), r.prob()) for r in back.grammar.productions] == [
        (str(r), r.prob()) for r in language.grammar.productions
    ]
    assert torch.equal(back.length_log_prob, language.length_log_prob)
    assert (back.words, back.max_length, back.lengths) == (language.words, language.max_length, language.lengths)
    assert list(back.tasks) == list(language.tasks)
    assert back.fingerprint() == language.fingerprint()


@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ({"kinds": 1}, "lacks the key 'max_length'"),
        ({"kinds": 0, "max_length": 4}, "kinds is 0"),
        ({"kinds": 1, "max_length": 5}, "max_length is 5, expected an even number"),
        ({"kinds": 1, "max_length": 0}, "max_length is 0"),
        ({"kinds": 1, "max_length": 4, "max_depth": 0}, "max_depth 0, max_length 4: expected"),
        ({"kinds": 1, "max_length": 4, "continuation": 0}, "continuation is 0.0, expected a probability"),
        ({"kinds": 1, "max_length": 4, "continuation": 1.0}, "continuation is 1.0"),
        ({"kinds": 1, "max_length": 4, "continuation": float("nan")}, "'continuation' is nan"),
        ({"kinds": 1, "max_length": 4, "lengths": {3: 1}}, "no sentence has 3 words"),
        ({"kinds": 1, "max_length": 4, "lengths": {2: "x"}}, "lengths: 2: 'x'"),
        (
            {"kinds": 1, "max_length": 4, "task_positions": [4]},
            "task_positions has 4, expected integers from 1 to 3",
        ),
        ({"kinds": 1, "max_length": 4, "depth": 2}, "unknown key of family dyck 'depth': did you mean 'max_depth'"),
    ],
)
def test_what_cannot_be_made(keys, match):
    with pytest.raises(InputError, match=match) as error:
        load_language({"family": "dyck"} | keys)
    assert "\n" not in str(error.value)
