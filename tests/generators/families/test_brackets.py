"""Balanced brackets (Liu et al. 2022, section 6) against the enumeration of all strings of brackets."""

import itertools
import json
import math
from collections import Counter

import pytest
import torch
from support.exactness import EXACT, assert_conditionals, assert_log_prob, assert_loss_floor
from support.oracles import Enumeration
from support.words import assert_frequencies, encode, generator, word_tuples

from satlab.errors import InputError
from satlab.generators import Sentences, load_language
from satlab.lab.describe.show import describe
from satlab.lab.measurements.probe import measure_baselines
from satlab.lab.measurements.probe_config import ProbeConfig
from satlab.probes import majority_class

LENGTHS = [2, 4, 8]


def all_strings(length):
    return list(itertools.product("()", repeat=length))


@pytest.fixture(scope="module", params=LENGTHS)
def pair(request):
    language = load_language({"family": "brackets", "length": request.param})
    balanced = {string: 1.0 for string in all_strings(request.param) if 2 * string.count("(") == request.param}
    return language, Enumeration(balanced, request.param)


def test_log_prob_of_all_strings(pair):
    language, enumeration = pair
    assert_log_prob(language, enumeration, all_strings(language.max_length), whole=True)
    assert language.length_log_prob.tolist() == pytest.approx(enumeration.length_log_prob(), abs=1e-10)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.7, 1.0])
def test_conditional_is_that_of_all_strings(pair, rate):
    language, enumeration = pair
    strings = sorted(enumeration.probabilities)[:30]
    unseen, hidden, expected = assert_conditionals(language, enumeration, strings, rate)
    single = language.conditional(unseen, None, hidden, torch.float32)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), expected, rtol=1e-6, atol=1e-7)


def test_one_hidden_word_is_certain(pair):
    """With one word hidden the floor is 0; with all of them hidden it is log 2."""
    language, _ = pair
    assert (language.loss_floor(100, generator()).value, language.loss_floor(100, generator()).stderr) == (0.0, 0.0)
    assert language.loss_floor(50, generator(), "bernoulli:1").value == pytest.approx(math.log(2), abs=1e-12)


def test_loss_floor():
    language = load_language({"family": "brackets", "length": 6})
    balanced = {string: 1.0 for string in all_strings(6) if string.count("(") == 3}
    assert_loss_floor(language, Enumeration(balanced, 6), 20_000, 1, "bernoulli:0.3", 0.05)


def test_next_word_of_every_beginning(pair):
    """p(x_{t+1} | x_1 .. x_t) by summing over all strings that begin alike; then the end."""
    language, enumeration = pair
    strings = sorted(enumeration.probabilities)
    tokens, _ = encode(language, strings)
    rows = language.next_word(tokens)
    assert rows.shape == (len(strings), language.max_length + 1, 3)
    torch.testing.assert_close(rows.sum(-1), torch.ones(rows.shape[:2], dtype=torch.float64), **EXACT)
    for string, row in zip(strings, rows.tolist(), strict=True):
        for t in range(language.max_length):
            alike = [other for other in strings if other[:t] == string[:t]]
            assert row[t][0] == pytest.approx(sum(other[t] == "(" for other in alike) / len(alike), abs=1e-12)
            assert row[t][2] == 0
        assert row[-1] == [0, 0, 1]
    words = torch.nn.functional.pad(tokens, (0, 1), value=language.pad_id)
    log_p = rows.gather(2, words[..., None])[..., 0].log().sum(1)
    torch.testing.assert_close(log_p, language.log_prob(tokens), **EXACT)


def test_next_word_of_an_unfinished_sentence():
    language = load_language({"family": "brackets", "length": 6})
    tokens = torch.tensor([[0, 0, 1, 2], [1, 1, 1, 2]])
    rows = language.next_word(tokens)
    torch.testing.assert_close(rows, language.next_word(tokens, torch.tensor([3, 3])))
    assert rows[1, 3].tolist() == [1, 0, 0]
    assert rows[0, :4, 0].tolist() == pytest.approx([1 / 2, 2 / 5, 1 / 4, 1 / 3])
    assert rows[:, 4].tolist() == [[0, 0, 0], [0, 0, 0]]


def test_padding_beyond_the_end_changes_nothing():
    language = load_language({"family": "brackets", "length": 4})
    tokens = language.sample(5, generator()).tokens
    padded = torch.nn.functional.pad(tokens, (0, 2), value=language.pad_id)
    assert torch.equal(language.log_prob(padded), language.log_prob(tokens))
    assert torch.equal(language.conditional(padded)[:, :4], language.conditional(tokens))
    assert not language.conditional(padded)[:, 4:].any()


def test_sampled_frequencies():
    language = load_language({"family": "brackets", "length": 8})
    sentences = language.sample(40_000, generator(2))
    strings = [string for string in all_strings(8) if string.count("(") == 4]
    assert_frequencies(word_tuples(language, sentences), dict.fromkeys(strings, 1 / len(strings)))
    assert sentences.lengths.unique().tolist() == [8]


def test_long_sentences():
    """600 words: every sample is possible, and the exact p of the formula keeps its digits."""
    language = load_language({"family": "brackets", "length": 600})
    sentences = language.sample(20, generator())
    assert bool(((sentences.tokens == 0).sum(1) == 300).all())
    assert language.log_prob(sentences.tokens)[0].item() == pytest.approx(-math.log(math.comb(600, 300)), rel=1e-13)
    hidden = torch.ones(20, 600, dtype=torch.bool)
    hidden[:, :100] = False
    opened = (sentences.tokens[:, :100] == 0).sum(1)
    expected = (300 - opened).double() / 500
    torch.testing.assert_close(language.conditional(sentences.tokens, None, hidden)[:, 550, 0], expected)


@pytest.mark.parametrize("words", [1, 4, 7])
def test_difference_tasks(words):
    """Number of ( minus number of ) among the first words, by counting characters; only what occurs is a class."""
    language = load_language({"family": "brackets", "length": 8, "task_positions": [words]})
    task = language.tasks[f"difference-{words}"]
    strings = [string for string in all_strings(8) if string.count("(") == 4]
    tokens, lengths = encode(language, strings)
    expected = [2 * string[:words].count("(") - words for string in strings]
    labels = task.labels(Sentences(tokens, lengths))
    assert [int(task.classes[label]) for label in labels.tolist()] == expected
    assert sorted(set(expected)) == [int(name) for name in task.classes]
    estimate = task.bayes_accuracy(10, generator())
    assert (estimate.value, estimate.stderr, estimate.n) == (1.0, 0.0, 10)


def mismatches(string):
    return string.count("(") - string.count(")")


def test_mismatches_of_all_strings(pair):
    """g of every string of brackets, balanced or not, by counting characters."""
    language, _ = pair
    task, strings = language.tasks["mismatches"], all_strings(language.max_length)
    labels = task.labels(Sentences(*encode(language, strings)))
    assert [int(task.classes[label]) for label in labels.tolist()] == list(map(mismatches, strings))
    assert sorted(set(map(mismatches, strings))) == list(map(int, task.classes))
    estimate = task.bayes_accuracy(10, generator())
    assert (estimate.value, estimate.stderr, estimate.n) == (1.0, 0.0, 10)


def test_inputs_of_mismatches_are_uniform_over_all_strings():
    language = load_language({"family": "brackets", "length": 6})
    task = language.tasks["mismatches"]
    inputs = task.inputs(language, 40_000, generator(3))
    assert task.own_inputs
    assert inputs.tokens.dtype == torch.int64
    assert inputs.lengths.tolist() == [6] * 40_000
    assert_frequencies(word_tuples(language, inputs), dict.fromkeys(all_strings(6), 2.0**-6))
    again = task.inputs(language, 40_000, generator(3))
    assert torch.equal(inputs.tokens, again.tokens)


def most_frequent(length):
    """The share of the most frequent g among all strings, by counting."""
    return max(Counter(map(mismatches, all_strings(length))).values()) / 2**length


def test_majority_class_of_mismatches_is_over_its_own_inputs():
    """C(4, 2) / 2^4 = 3/8 of the inputs have as many of both; of the language's sentences all have."""
    language = load_language({"family": "brackets", "length": 4})
    assert most_frequent(4) == 3 / 8
    found = majority_class(language, language.tasks["mismatches"], 2000, 4000, 5)
    assert found.stderr < 0.02
    assert abs(found.value - most_frequent(4)) < 4 * math.sqrt(3 / 8 * 5 / 8 / 20_000)


def test_show_describes_mismatches_over_its_own_inputs():
    language = load_language({"family": "brackets", "length": 6})
    found = describe(language, "brackets", language.sample(4000, generator(4)), 1, 0)
    task = {task["name"]: task for task in found["tasks"]}["mismatches"]
    counts = Counter(map(mismatches, all_strings(6)))
    for name, share in task["shares"].items():
        p = counts[int(name)] / 64
        assert abs(share - p) < 4.5 * math.sqrt(p * (1 - p) / 4000)
    assert set(task["shares"]) >= {"0", "2", "-2"}
    assert task["bayes"] == {"value": 1.0, "stderr": 0.0, "n": 4000}


def test_baselines_of_mismatches_have_no_look_up_table(tmp_path):
    """A row says so and is not kept, however often they are asked for; the other tasks have theirs."""
    language, file = load_language({"family": "brackets", "length": 4}), tmp_path / "results.jsonl"
    config = ProbeConfig(train_sentences=400, test_sentences=2000, seeds=2)
    rows = list(measure_baselines(language, "mismatches", config, file))
    assert [(row["method"], row["n"]) for row in rows] == [("majority", 2), ("lookup", 0), ("bayes", 2000)]
    assert rows[0]["value"] == pytest.approx(most_frequent(4), abs=4 * math.sqrt(3 / 8 * 5 / 8 / 4000))
    assert (rows[1]["value"], rows[1]["stderr"]) == (None, None)
    assert rows[1]["skipped"] == "the language's conditionals are not defined at this task's own inputs"
    assert set(rows[1]) == {*rows[0], "skipped"}
    assert rows[2]["value"] == 1.0
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert kept == [rows[0], rows[2]]
    assert list(measure_baselines(language, "mismatches", config, file)) == rows
    others = list(measure_baselines(language, "difference-2", config, file))
    assert [row["method"] for row in others] == ["majority", "lookup", "bayes"]
    assert others[1]["value"] > 0.99


def test_default_tasks():
    names = ["mismatches", "difference-4", "difference-8", "difference-12"]
    assert list(load_language("brackets").tasks) == names
    assert list(load_language({"family": "brackets", "length": 2}).tasks) == ["mismatches", "difference-1"]
    assert list(load_language({"family": "brackets", "length": 2, "task_positions": []}).tasks) == ["mismatches"]


@pytest.mark.parametrize("positions", [None, [], [5, 1]])
def test_save_and_load(tmp_path, positions):
    language = load_language({"family": "brackets", "length": 6, "task_positions": positions})
    path = language.save(str(tmp_path / "b"))
    back = load_language(path)
    assert path == str(tmp_path / "b.yaml")
    assert (back.max_length, back.task_positions, list(back.tasks)) == (
        6,
        language.task_positions,
        list(language.tasks),
    )
    assert torch.equal(back.length_log_prob, language.length_log_prob)
    assert back.fingerprint() == language.fingerprint()
    assert load_language({"family": "brackets", "length": 6}, 10).max_length == 10


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ({}, "lacks the key 'length'"),
        ({"length": 7}, "length is 7, expected an even number"),
        ({"length": 0}, "length is 0"),
        ({"length": -2}, "length is -2"),
        ({"length": 4.0}, "key 'length' is 4.0, expected an integer"),
        ({"length": 4, "task_positions": [4]}, "task_positions has 4, expected integers from 1 to 3"),
        ({"length": 4, "task_positions": ["x"]}, "task_positions has 'x'"),
        ({"length": 4, "max_length": 4}, "unknown key of family brackets 'max_length'"),
    ],
)
def test_what_cannot_be_made(spec, match):
    with pytest.raises(InputError, match=match) as error:
        load_language({"family": "brackets"} | spec)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda b: b.conditional(torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1]])), "sentence 1 is impossible"),
        (lambda b: b.conditional(torch.tensor([[0, 1]])), "sentence 0 has 2 words.*expected 4"),
        (lambda b: b.conditional(torch.tensor([[0, 1, 5, 0]])), "sentence 0, position 2: token 5 is not a word"),
        (lambda b: b.next_word(torch.tensor([[0, 1, 2], [0, 0, 0]])), "words of sentence 1"),
        (lambda b: b.next_word(torch.tensor([[0, 1, 0, 1, 0]])), "sentence 0 has 5 words, expected at most 4"),
        (
            lambda b: b.tasks["difference-1"].labels(Sentences(torch.tensor([[2]]), torch.tensor([0]))),
            "difference-1: sentence 0 has 0, expected one of",
        ),
    ],
)
def test_impossible_sentences(ask, match):
    with pytest.raises(InputError, match=match):
        ask(load_language({"family": "brackets", "length": 4}))
