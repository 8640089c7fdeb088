"""Downstream tasks of PCFGs: labels, posteriors and Bayes accuracies against oracle scores and all derivation trees."""

import math

import nltk
import pytest
import torch
from support.oracles import PcfgOracle
from support.random_languages import NAMED_PCFGS, all_pcfgs
from support.words import encode, generator, word_tuples

from satlab.errors import InputError
from satlab.generators import PCFG, Span, load_language
from satlab.generators.pcfg.chart import compiled
from satlab.generators.pcfg.grammar import read_text
from satlab.generators.pcfg.tasks import bayes_accuracies, tree_posteriors

CHAINS = """
S -> A [0.25] | B A [0.25] | A B [0.125] | A 'x' B [0.375]
A -> B [0.5] | B B [0.25] | 'a' [0.25]
B -> 'a' [0.5] | 'x' [0.5]
"""

SPANS = {"all": Span(None, ("A", "B")), "one": Span(1, ("B", "A")), "two": Span(2, ("A", "S"))}


@pytest.fixture(scope="module")
def pair():
    return PCFG(read_text(CHAINS), 5, SPANS), PcfgOracle(nltk.PCFG.fromstring(CHAINS))


def _true_label(span, nodes, length):
    """The class of a tree: the topmost of the asked symbols over the prefix, else the last class."""
    width = length if span.words is None else min(span.words, length)
    over = [symbol for start, w, symbol in nodes if start == 0 and w == width and symbol in span.symbols]
    return span.symbols.index(over[0]) if over else len(span.symbols)


def _label_masses(oracle, span, string):
    masses = [0.0] * (len(span.symbols) + 1)
    for p, nodes in oracle.trees(oracle.start, string):
        masses[_true_label(span, nodes, len(string))] += p
    return masses


@pytest.mark.parametrize("name", SPANS)
def test_tree_task_posterior_is_that_of_all_trees(pair, name):
    language, oracle = pair
    task = language.tasks[f"tree-{name}"]
    strings = sorted(oracle.enumeration(5).probabilities)
    tokens, lengths = encode(language, strings)
    masses = torch.tensor([_label_masses(oracle, SPANS[name], s) for s in strings], dtype=torch.float64)
    sentences = language.sample(1, generator())
    posterior = task.posterior(type(sentences)(tokens, lengths))
    assert task.classes == (*SPANS[name].symbols, "none")
    torch.testing.assert_close(posterior, masses / masses.sum(1, keepdim=True), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SPANS)
def test_tree_task_bayes_accuracy(pair, name):
    """E max_c p(c | x) by enumeration of all strings and trees, within 4 standard errors."""
    language, oracle = pair
    exact = math.fsum(max(_label_masses(oracle, SPANS[name], s)) for s in oracle.enumeration(5).probabilities)
    estimate = language.tasks[f"tree-{name}"].bayes_accuracy(20_000, generator(3))
    assert estimate.n == 20_000
    assert exact < 1 - 1e-3
    assert abs(estimate.value - exact) < 4 * estimate.stderr


def test_tree_tasks_share_one_pass_over_the_sentences(pair, monkeypatch):
    """Each task's posterior is that of all trees, as if it were asked alone, for sentences of all lengths at once."""
    language, oracle = pair
    passes, run = [], compiled.prefix_factors
    monkeypatch.setattr(compiled, "prefix_factors", lambda *given: passes.append(len(given[1])) or run(*given))
    strings = sorted(oracle.enumeration(5).probabilities)[::7]
    sentences = type(language.sample(1, generator()))(*encode(language, strings))
    tasks = [language.tasks[f"tree-{name}"] for name in SPANS]
    for name, posterior in zip(SPANS, tree_posteriors(tasks, sentences), strict=True):
        masses = torch.tensor([_label_masses(oracle, SPANS[name], s) for s in strings], dtype=torch.float64)
        torch.testing.assert_close(posterior, masses / masses.sum(1, keepdim=True), rtol=1e-10, atol=1e-10)
    assert passes == [len(strings)]
    assert tree_posteriors([], sentences) == []


@pytest.mark.parametrize("name", ["demo-pcfg", "demo-hmm", "brackets"])
def test_bayes_accuracies_of_several_tasks(name):
    """Of trees over the given sentences; of others as `bayes_accuracy` gives them."""
    language = load_language(name)
    sentences, tasks = language.sample(50, generator(1)), list(language.tasks.values())[-4:]
    found = bayes_accuracies(tasks, sentences, [generator(i) for i in range(len(tasks))])
    for i, (task, estimate) in enumerate(zip(tasks, found, strict=True)):
        if task.name.startswith("tree-"):
            best = task.posterior(sentences).amax(1)
            assert estimate.value == pytest.approx(float(best.mean()), abs=1e-12)
            assert estimate.stderr == pytest.approx(float(best.std()) / math.sqrt(50), abs=1e-12)
        else:
            assert estimate == task.bayes_accuracy(50, generator(i))
        assert estimate.n == 50


@pytest.mark.parametrize("name", SPANS)
def test_tree_task_labels_are_read_off_the_sampled_trees(pair, name):
    language, _ = pair
    sentences = language.sample(300, generator(4))
    labels = language.tasks[f"tree-{name}"].labels(sentences)
    for row, length, label in zip(sentences.latents["nodes"].tolist(), sentences.lengths, labels, strict=True):
        nodes = [(start, width, language.symbols[s]) for start, width, s in row if s >= 0]
        assert int(label) == _true_label(SPANS[name], nodes, int(length))
    assert len(labels.unique()) > 1


def test_tree_task_posterior_with_unary_cycles():
    """S and A pass the whole span to each other: what enters is always S, so A is topmost iff S is not asked for."""
    text, length = "S -> A [0.5] | 'a' [0.5]\nA -> S [0.5] | 'a' [0.5]", 1
    language = PCFG(read_text(text), length, {"top": Span(None, ("A", "S")), "A": Span(None, ("A",))})
    sentences = language.sample(3, generator())
    torch.testing.assert_close(
        language.tasks["tree-top"].posterior(sentences),
        torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64).expand(3, 3),
    )
    # P(S yields 'a') = 2/3 + 1/3 = 1; without passing A: 'a' at once, 1/2.
    torch.testing.assert_close(
        language.tasks["tree-A"].posterior(sentences), torch.tensor([[0.5, 0.5]], dtype=torch.float64).expand(3, 2)
    )


@pytest.mark.parametrize("name", [name for name, (_, length) in all_pcfgs().items() if length > 2])
def test_argmax_tasks_choose_the_best_inside_score(name):
    """The label's oracle score is the greatest of all asked symbols'; none where all are zero."""
    text, max_length = all_pcfgs()[name]
    language, oracle = PCFG.from_string(text, max_length), PcfgOracle(nltk.PCFG.fromstring(text))
    names = language.symbols[: language.rules.num_original]
    language = PCFG(read_text(text), max_length, {"all": Span(None, names), "two": Span(2, tuple(reversed(names)))})
    sentences = language.sample(60, generator(5))
    for task_name, width in (("all", max_length), ("two", 2)):
        task = language.tasks[task_name]
        assert (task.bayes_accuracy(10, generator()).value, task.bayes_accuracy(10, generator()).stderr) == (1.0, 0.0)
        for words, label in zip(word_tuples(language, sentences), task.labels(sentences).tolist(), strict=True):
            inside = oracle.inside(words[:width])
            scores = [inside[nltk.Nonterminal(symbol)] for symbol in task.span.symbols]
            if max(scores) == 0:
                assert task.classes[label] == "none"
            else:
                assert scores[label] >= max(scores) * (1 - 1e-12)


def test_ties_go_to_the_first_symbol():
    text = "S -> B [0.25] | A [0.75]\nA -> 'a' [0.5] | 'b' [0.5]\nB -> 'a' [0.5] | 'b' [0.5]"
    language = PCFG(read_text(text), 1, {"BA": Span(None, ("B", "A")), "AB": Span(None, ("A", "B"))})
    sentences = language.sample(10, generator())
    for name in ("BA", "AB"):
        assert language.tasks[name].labels(sentences).tolist() == [0] * 10


def test_published_tasks():
    """A: what the start rewrites to alone; B and C: what can yield a prefix of 4 and of 2 words."""
    text = "S -> A [0.5] | C C [0.5]\nA -> C D [0.5] | C C C C [0.5]\nC -> 'a' [1.0]\nD -> C 'a' [1.0]"
    language = PCFG.from_string(text, 4)
    assert list(language.tasks) == ["A", "B", "C", "tree-A", "tree-B", "tree-C"]
    assert language.tasks["A"].classes == ("A", "none")
    assert language.tasks["B"].classes == ("A", "D", "none")
    assert language.tasks["C"].classes == ("D", "none")
    text, max_length = NAMED_PCFGS["words-only"]
    assert dict(PCFG.from_string(text, max_length).tasks) == {}


def test_tasks_of_a_layered_grammar():
    """A span of the demo's binary tree is always the symbol of its layer."""
    language = load_language("demo-pcfg")
    sentences = language.sample(50, generator())
    for name, layer in (("A", "L1"), ("B", "L2"), ("C", "L3")):
        task = language.tasks[f"tree-{name}"]
        labels = [task.classes[label] for label in task.labels(sentences)]
        assert all(label.startswith(layer) for label in labels)
        assert float(task.posterior(sentences)[:, -1].max()) < 1e-10


@pytest.mark.parametrize("name", ["demo-hmm", "demo-pcfg", "dyck-2"])
def test_inputs_of_a_task_are_the_languages_sentences(name):
    language = load_language(name)
    expected = language.sample(20, generator(7))
    for task in language.tasks.values():
        found = task.inputs(language, 20, generator(7))
        assert not task.own_inputs
        assert torch.equal(found.tokens, expected.tokens)
        assert torch.equal(task.labels(found), task.labels(expected))


def test_unknown_symbol_in_a_task():
    with pytest.raises(InputError, match="unknown nonterminal 'AA': did you mean 'A'"):
        PCFG(read_text(CHAINS), 5, {"A": Span(None, ("AA",))})
