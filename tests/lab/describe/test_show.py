"""`satlab show`: its numbers as text and as JSON, for grammars, chains and languages of neither kind."""

import itertools
import math

import matplotlib.image
import nltk
import numpy as np
import pytest
import torch
from support.commands import strict
from support.words import generator

from satlab.generators import PCFG, Language, load_language
from satlab.generators.hmm.statistics import chain_statistics
from satlab.generators.pcfg.chart import compiled
from satlab.generators.pcfg.statistics import grammar_statistics
from satlab.lab.describe import show

TOY = """
S -> NP VP [1.0]
NP -> Det N [0.5] | NP PP [0.25] | 'she' [0.25]
PP -> P NP [1.0]
VP -> V NP 'now' [0.5] | V [0.5]
Det -> 'the' [0.75] | 'a' [0.25]
N -> 'dog' [0.5] | 'telescope' [0.5]
P -> 'with' [1.0]
V -> 'ran' [0.5] | 'saw' [0.5]
"""
SHARED = ["language", "kind", "max_length", "words", "seed", "samples", "sentences", "expected_length", "length_sd"]
SHARED += ["length_probability", "sentence_entropy", "perplexity", "floor", "tasks", "more_tasks"]


@pytest.fixture
def satlab(tmp_path, satlab):
    """Runs a command line in a directory with some languages; (stdout, stderr)."""
    (tmp_path / "toy.pcfg").write_text(TOY)
    (tmp_path / "beyond.pcfg").write_text("0.6 S -> S S\n0.1 S -> S\n0.3 S -> a\n")
    (tmp_path / "chain.yaml").write_text("{family: random-hmm, states: 20, blocks: 10, words: 40, length: 40, seed: 1}")
    return satlab


def test_a_grammar_as_json(satlab):
    out, err = satlab("show toy.pcfg --max-length 12 --samples 400 --sentences 4 --json")
    assert err == ""
    found = strict(out)
    assert set(found) == {*SHARED, "grammar"}
    language = load_language("toy.pcfg", 12)
    exact = grammar_statistics(language)
    assert found["grammar"]["derivation_entropy"] == exact.derivation_entropy
    assert found["grammar"]["uncut"]["expected_length"] == exact.uncut.expected_length
    assert found["grammar"]["uncut"]["distance"] == 1 - exact.uncut.radius
    assert found["expected_length"] == pytest.approx(exact.expected_length, rel=1e-12)
    assert math.fsum(found["length_probability"].values()) == pytest.approx(1, abs=1e-12)
    given, entropy = found["grammar"]["ambiguity"]["tree_given_sentence"], found["sentence_entropy"]
    assert entropy["value"] == pytest.approx(exact.derivation_entropy - given["value"], abs=1e-12)
    assert found["perplexity"]["value"] == pytest.approx(math.exp(entropy["value"] / exact.expected_length))
    assert all(each["n"] == 400 for each in (given, entropy, found["floor"]))
    for sentence in found["sentences"]:
        tree = nltk.Tree.fromstring(sentence["tree"])
        assert tree.leaves() == sentence["words"]
        assert {part.label() for part in tree.subtrees()} <= {"S", "NP", "PP", "VP", "Det", "N", "P", "V"}
        probability = {(str(r.lhs()), str(r.rhs())): r.prob() for r in language.grammar.productions}
        rules = [(str(r.lhs()), str(r.rhs())) for r in tree.productions()]
        log_p = math.fsum(math.log(probability[rule]) for rule in rules) - math.log(exact.mass)
        assert sentence["log_prob_nats"] >= log_p - 1e-9
    assert len(found["sentences"]) == 4


def test_the_entropy_of_sentences_agrees_with_their_log_probabilities(satlab):
    found = strict(satlab("show toy.pcfg --max-length 8 --samples 3000 --json").out)
    language = load_language("toy.pcfg", 8)
    sentences = language.sample(3000, generator(9))
    plain = -language.log_prob(sentences.tokens, sentences.lengths)
    error = math.hypot(float(plain.std()) / math.sqrt(3000), found["sentence_entropy"]["stderr"])
    assert abs(found["sentence_entropy"]["value"] - float(plain.mean())) < 4 * error


def test_the_floor_is_that_of_satlab_floor(satlab):
    shown = strict(satlab("show toy.pcfg --max-length 6 --samples 50 --seed 3 --json").out)["floor"]
    floor = strict(satlab("floor toy.pcfg --max-length 6 --sentences 50 --seed 3").out)
    assert (shown["value"], shown["stderr"], shown["n"]) == (floor["floor_nats"], floor["stderr"], 50)


def test_a_chain_as_json(satlab):
    found = strict(satlab("show chain.yaml --samples 30 --json").out)
    assert set(found) == {*SHARED, "chain"}
    language = load_language("chain.yaml")
    exact = chain_statistics(language)
    assert found["chain"]["entropy_rate"] == exact.entropy_rate
    assert len(found["chain"]["classes"]) == 10
    assert found["length_probability"] == {"40": 1.0}
    for sentence in found["sentences"]:
        assert len(sentence["words"]) == len(sentence["states"]) == 40
        assert 1 <= min(sentence["states"]) <= max(sentence["states"]) <= 20
    assert len(found["tasks"]) == min(6, len(language.tasks))
    assert found["more_tasks"] == len(language.tasks) - len(found["tasks"])


def test_tasks_with_their_balance_and_bayes_accuracy(satlab):
    found = strict(satlab("show demo-pcfg --samples 500 --json").out)
    tasks = {task["name"]: task for task in found["tasks"]}
    assert list(tasks) == list(load_language("demo-pcfg").tasks)[:6]
    for task in found["tasks"]:
        shares = list(task["shares"].values())
        assert shares == sorted(shares, reverse=True)
        assert task["majority"]["value"] == shares[0]
        assert task["majority"]["stderr"] == pytest.approx(math.sqrt(shares[0] * (1 - shares[0]) / 499))
        assert task["bayes"]["value"] >= task["majority"]["value"] - 4 * task["majority"]["stderr"]
        assert len(shares) <= 5
    assert tasks["A"]["bayes"] == {"value": 1.0, "stderr": 0.0, "n": 500}


def test_all_tree_tasks_take_one_chart_a_sentence(satlab, monkeypatch):
    passes, run = [], compiled.prefix_factors
    monkeypatch.setattr(compiled, "prefix_factors", lambda *given: passes.append(given[1].shape[:1]) or run(*given))
    found = strict(satlab("show cfg3b --samples 6 --json").out)
    assert passes == [(6,)]
    tasks = {task["name"]: task for task in found["tasks"]}
    assert {name for name in tasks if name.startswith("tree-")} == {"tree-level-3", "tree-level-4"}
    # A string of cfg3b has one tree, so whoever reads all words knows it.
    assert all(task["bayes"]["value"] == pytest.approx(1, abs=1e-9) for task in tasks.values())
    assert all(each["n"] == 6 for task in tasks.values() for each in (task["bayes"], task["majority"]))


def test_the_number_of_samples_is_shown_and_an_explicit_one_is_obeyed(satlab, monkeypatch):
    monkeypatch.setattr(show, "MOST_WORK", 30 * load_language("demo-pcfg").chart_work())
    assert strict(satlab("show demo-pcfg --json").out)["samples"] == 30
    assert strict(satlab("show demo-pcfg --sentences 40 --json").out)["samples"] == 40
    found = strict(satlab("show demo-pcfg --samples 55 --json").out)
    assert found["samples"] == found["floor"]["n"] == 55
    assert satlab("show demo-pcfg --samples 1234").out.splitlines()[1].endswith("from 1,234 sampled sentences")


def test_infinite_is_null_in_json_and_a_word_in_text(satlab):
    uncut = strict(satlab("show beyond.pcfg --max-length 5 --samples 20 --json").out)["grammar"]["uncut"]
    assert (uncut["expected_length"], uncut["length_sd"], uncut["derivation_entropy"]) == (None, None, None)
    assert uncut["total_mass"] == pytest.approx(0.5)
    out = satlab("show beyond.pcfg --max-length 5 --samples 20").out
    assert "infinite, s.d. infinite" in out
    assert "0.5; may go on forever: S" in out
    assert "some have infinitely many: unary rules form a cycle" in out


def test_text_for_people(satlab):
    out, err = satlab("show toy.pcfg --max-length 10 --samples 200 --sentences 2 --seed 1")
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == "toy.pcfg: PCFG, 9 words, sentences of at most 10"
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert titles[2:] == ["Sentences", "Lengths", "Grammar", "Words", "Tasks"]
    assert max(map(len, lines)) <= 120
    assert len(lines) < 80
    assert "distance from criticality" in out
    assert " +- " in next(line for line in lines if "floor (one word hidden)" in line)
    assert satlab("show toy.pcfg --max-length 10 --samples 200 --sentences 2 --seed 1").out == out


def test_words_beside_symbols_are_drawn_in_their_place(satlab, tmp_path):
    (tmp_path / "nested.pcfg").write_text("S -> 'a' S 'b' [0.5] | 'c' S 'd' [0.25] | 'e' [0.25]")
    found = strict(satlab("show nested.pcfg --max-length 7 --samples 20 --sentences 9 --json").out)
    lines = satlab("show nested.pcfg --max-length 7 --samples 20 --sentences 9").out.splitlines()
    drawn = [" ".join(line.split()) for line in lines]
    first = found["sentences"][0]["words"]
    assert len(first) > 1
    assert drawn.count(" ".join(first)) == 2


def test_text_of_a_chain(satlab):
    lines = satlab("show chain.yaml --samples 20 --sentences 1").out.splitlines()
    assert "Hidden chain" in lines
    assert "    ... and 6 more" in lines
    words, states = next(
        (a, b) for a, b in itertools.pairwise(lines) if a.startswith("  words ") and b.startswith("  states")
    )
    assert len(words) == len(states) <= 120


def test_long_and_deep_sentences_are_written_within_bounds(satlab, tmp_path):
    (tmp_path / "deep.pcfg").write_text("S -> 'a' S [0.995] | 'b' [0.005]")
    out = satlab("show deep.pcfg --max-length 300 --samples 3 --sentences 2").out
    assert max(map(len, out.replace(")", "").splitlines())) <= 120
    assert "more lines" in out
    assert len(out.splitlines()) < 120


def test_names_and_words_that_mean_something_in_brackets(satlab, tmp_path):
    (tmp_path / "odd.pcfg").write_text(
        "S(x) -> S(x) ) [0.4] | '(' [0.3] | 'New York' [0.2] | ')' [0.1]\n) -> '[ ]' [1.0]"
    )
    out = satlab("show odd.pcfg --max-length 4 --samples 20 --sentences 8 --seed 1").out
    assert "S-LRB-x-RRB-" in out
    satlab("show odd.pcfg --max-length 4 --samples 20 --png o.png")


class Coin(Language):
    """Words without any structure, to stand for the kinds of language that `show` knows nothing about."""

    words, max_length, tasks, suffix = ("head", "tail"), 2, {}, ".none"
    length_log_prob = torch.tensor([-math.inf, -math.inf, 0.0], dtype=torch.float64)

    def draw(self, num_sentences, generator, latents):
        inner = PCFG.from_string("S -> X X [1.0]\nX -> 'head' [0.5] | 'tail' [0.5]").sample(num_sentences, generator)
        return type(inner)(inner.tokens, inner.lengths)

    def log_prob(self, tokens, lengths=None):
        return torch.full((len(tokens),), -2 * math.log(2), dtype=torch.float64)

    def conditional_table(self, tokens, lengths, hidden, dtype):
        return torch.full((*tokens.shape, 2), 0.5, dtype=dtype)

    def missing(self, *given, **named):
        raise NotImplementedError

    conditional_at = next_word = floats_per_sentence = write = log_partition = posterior = log_normaliser = missing


def test_a_language_of_another_kind_shows_what_all_share(satlab, monkeypatch):
    monkeypatch.setattr("satlab.generators.load_language", lambda *_: Coin())
    found = strict(satlab("show coin --samples 10 --json").out)
    assert set(found) == set(SHARED)
    assert found["sentence_entropy"]["value"] == pytest.approx(2 * math.log(2))
    assert found["perplexity"]["value"] == pytest.approx(2)
    assert found["floor"]["value"] == pytest.approx(math.log(2))
    assert set(found["sentences"][0]) == {"words", "log_prob_nats"}
    titles = [line for line in satlab("show coin --samples 10").out.splitlines() if line and line[0] != " "]
    assert titles[0] == "coin: Coin, 2 words, sentences of at most 2"
    assert titles[2:] == ["Sentences", "Lengths", "Words"]
    err = satlab("show coin --samples 10 --png x.png", status=2).err
    assert "a Coin has neither trees nor hidden states" in err


@pytest.mark.parametrize("language", ["toy.pcfg --max-length 9", "demo-hmm", "chain.yaml"])
def test_png(satlab, tmp_path, language):
    satlab(f"show {language} --samples 20 --png picture.png")
    image = matplotlib.image.imread(tmp_path / "picture.png")
    assert min(image.shape[:2]) > 100
    assert len(np.unique(image[..., 0])) > 10
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("line", "fragments"),
    [
        ("show nowhere.pcfg", ["nowhere.pcfg", "no such file"]),
        ("show demo-hm", ["did you mean 'demo-hmm'"]),
        ("show demo-hmm --samples 1", ["samples is 1", "at least"]),
        ("show demo-hmm --sentences 0", ["sentences is 0", "at least 1"]),
        ("show demo-hmm --sentences 30 --samples 20", ["samples is 20", "at least 30"]),
        ("show demo-hmm --samples many", ["samples is 'many'", "expected an integer"]),
        ("show demo-hmm --png tree.pdf", ["tree.pdf", ".png"]),
        ("show demo-hmm --png nowhere/tree.png", ["nowhere", "no directory"]),
        ("show demo-hmm --png folder.png", ["folder.png", "a directory, expected a file"]),
        ("show demo-hmm --pgn t.png", ["unknown option '--pgn'", "did you mean '--png'"]),
        ("show", ["LANGUAGE missing"]),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(satlab, refused, tmp_path, line, fragments):
    (tmp_path / "folder.png").mkdir()
    refused(line, *fragments)
