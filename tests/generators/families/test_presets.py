"""The presets of published languages: their size, their tasks, their floors, and what one line of YAML changes."""

import time

import pytest
import torch
from support.words import generator

from satlab.generators import load_language
from satlab.randomness import random_stream

FLOORS = {
    "liu2022-pcfg": (3.196, 4000, 45_000),
    "liu2022-hmm": (3.758, 500, 5000),
    "liu2022-pcfg-released": (4.45, 3000, 90_000),
}
"""name -> (published nats, sentences for a first look, sentences for a standard error of 0.003)."""

NAMES = [*FLOORS, "cagnetta2024-rhm", "cagnetta-wyart2024-rhm", "cfg3b", "cfg3i", "cfg3h", "cfg3g", "cfg3f"]


@pytest.mark.parametrize("name", [*NAMES[:-4], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[-4:])])
def test_presets_load_at_once(name):
    """In about a tenth of a second; the bound allows for a machine at work."""
    load_language("demo-pcfg")
    start = time.process_time()
    language = load_language(name)
    assert time.process_time() - start < 2
    assert bool(language.log_prob(language.sample(3, generator()).tokens).isfinite().all())


@pytest.mark.parametrize("name", FLOORS)
def test_the_floor_is_the_published_one(name):
    published, few, _ = FLOORS[name]
    estimate = load_language(name).loss_floor(few, random_stream(1, "evaluation"))
    assert abs(estimate.value - published) < 0.01 + 4 * estimate.stderr
    assert estimate.stderr < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOORS)
def test_the_floor_is_the_published_one_within_a_hundredth(name):
    published, _, many = FLOORS[name]
    estimate = load_language(name).loss_floor(many, random_stream(2, "evaluation"))
    assert estimate.stderr <= 0.003
    assert abs(estimate.value - published) < 0.002 + 3 * estimate.stderr < 0.05


def test_liu2022_pcfg():
    """200 words, 50 nonterminals beside the start, 6 layers, 2 to 32 words; rules of two symbols or of one word."""
    language = load_language("liu2022-pcfg")
    assert (language.vocab_size, language.max_length, language.rules.num_original) == (200, 32, 51)
    lengths = language.length_log_prob.isfinite().nonzero()[:, 0].tolist()
    assert lengths == list(range(2, 33))
    assert {parent for parent, _, _ in language.rules.unary} == {0}
    depth = torch.tensor([0] + [int(symbol[1]) for symbol in language.symbols[1:]])
    sentences = language.sample(50, generator(1))
    for row, length in zip(sentences.latents["nodes"].tolist(), sentences.lengths, strict=True):
        layers = [int(depth[symbol]) for _, _, symbol in row if symbol >= 0]
        assert max(layers) <= 6
        assert len(layers) == 2 * int(length)


def test_liu2022_pcfg_released():
    """9 symbols of one pair, 4 layers of 10, about 20 pairs and one word of their own, 100 words at the last."""
    language = load_language("liu2022-pcfg-released")
    assert (language.vocab_size, language.max_length, language.rules.num_original) == (200, 16, 50)
    assert len(language.rules.binary) == 9 + 3 * 10 * 20
    exits = [p for symbol, _, p in language.rules.lexical if language.symbols[symbol][:2] in ("L2", "L3", "L4")]
    assert len(exits) == 30
    assert 0.1 <= min(exits) < max(exits) <= 0.2
    assert sum(language.symbols[symbol].startswith("L5") for symbol, _, _ in language.rules.lexical) == 10 * 100


@pytest.mark.parametrize("name", ["liu2022-pcfg", "liu2022-pcfg-released"])
def test_tasks_of_the_grammars_are_not_trivial(name):
    """No class is most of the sentences, and the words do not tell the symbol for certain."""
    language = load_language(name)
    sentences = language.sample(1000, generator(2))
    for task in ("A", "B", "C"):
        labels = language.tasks[task].labels(sentences)
        assert float((labels == labels.mode().values).double().mean()) < 0.3
        assert len(labels.unique()) >= 9
        assert 0.3 < language.tasks[f"tree-{task}"].bayes_accuracy(200, generator(3)).value < 0.99


def test_liu2022_hmm():
    language = load_language("liu2022-hmm")
    assert (language.num_states, language.vocab_size, language.max_length) == (100, 200, 16)
    assert tuple(language.blocks.shape) == (4, 25, 25)
    assert torch.equal(language.emission > 0, torch.block_diag(*torch.ones(4, 25, 50)) > 0)
    for task in ("state-6", "state-10"):
        assert 0.3 < language.tasks[task].bayes_accuracy(1000, generator(4)).value < 0.6


@pytest.mark.parametrize(
    ("line", "size"),
    [
        ({"preset": "liu2022-hmm", "length": 32}, (200, 32)),
        ({"preset": "liu2022-hmm", "words": 400}, (400, 16)),
        ({"preset": "liu2022-hmm", "states": 20, "zipf": 1.0}, (200, 16)),
        ({"preset": "liu2022-pcfg", "exit_probability": None}, (200, 32)),
        ({"preset": "liu2022-pcfg", "lengths": {8: 1, 16: 1}}, (200, 32)),
        ({"preset": "liu2022-pcfg", "seed": 3}, (200, 32)),
        ({"preset": "liu2022-pcfg-released", "words_per_symbol": None, "words": 50}, (50, 16)),
        ({"preset": "cagnetta2024-rhm", "synonyms": 4, "depth": 4}, (8, 16)),
        ({"preset": "cagnetta-wyart2024-rhm", "zipf": 1.5, "zipf_levels": [1]}, (32, 8)),
        ({"preset": "cfg3b", "max_length": 250}, (3, 250)),
        ({"preset": "cfg3f", "lengths": {200: 1, 300: 2}}, (3, 729)),
    ],
)
def test_one_line_varies_a_preset(line, size):
    language = load_language(line)
    assert (language.vocab_size, language.max_length) == size
    possible = language.length_log_prob.isfinite().nonzero()[:, 0].tolist()
    if "lengths" in line:
        assert possible == list(line["lengths"])
    assert language.fingerprint() != load_language({"preset": line["preset"]}).fingerprint()


@pytest.mark.parametrize(
    ("name", "target"), [pytest.param("liu2022-pcfg-released", 4.0, marks=pytest.mark.slow), ("liu2022-hmm", 3.0)]
)
def test_another_floor_for_a_preset(name, target):
    estimate = load_language({"preset": name, "target_floor": target}).loss_floor(2000, random_stream(3, "evaluation"))
    assert abs(estimate.value - target) < 0.005 + 6 * estimate.stderr
