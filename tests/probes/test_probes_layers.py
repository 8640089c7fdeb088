"""Features of every layer and of single positions: from which `features` are made, and what probes of them read."""

import itertools

import pytest
import torch
from support.labelled import FIRST_WORD, Labelled, OneHot
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, inside, padded_sentences, shaken
from support.words import generator

from satlab.errors import InputError
from satlab.generators import Sentences
from satlab.models import build_model
from satlab.probes import (
    Extraction,
    FeatureChoice,
    FeatureStorage,
    Optimum,
    Samples,
    concatenated_features,
    frozen_probes,
    linear_probe,
)
from satlab.probes import features as features_module
from satlab.probes.features import extract

ALL = (*NETWORKS, "gpt-2x16")
ENDS = {"bert": "norm", "bert-post": "transform", "gpt": "norm", "lstm": "join", "lstm-residual": "norm"}
"""What makes the final features of the last layer's."""


def words_alone(model, x, tokens):
    """x [n, T or T + 1, d] at the words that a model reads."""
    return x[:, x.shape[1] - tokens.shape[1] :]


@pytest.mark.parametrize("name", ALL)
def test_the_final_features_are_made_of_the_last_layers(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    read = model.whole(tokens)
    layers = model.layer_features(read)
    kind, shape = name.rsplit("-", 1)
    assert len(layers) == int(shape.split("x")[0]) + 1
    final = getattr(model, ENDS[kind])(layers[-1])
    words = inside(lengths, tokens.shape[1])
    difference = words_alone(model, final, tokens)[words] - words_alone(model, model.features(read), tokens)[words]
    assert difference.abs().max() < 1e-12
    assert gap(words_alone(model, layers[0], tokens)[words].detach(), embedded(model, tokens)[words].detach()) < 1e-12
    for below, above in itertools.pairwise(layers[1:]):
        assert gap(below[:, :1], above[:, :1]) > 1e-3


def embedded(model, tokens):
    """The embedding's output at the words, as each kind of model defines it."""
    x = model.words.embedding(tokens)
    if model.name.startswith("lstm"):
        return x
    places = model.position[1 : tokens.shape[1] + 1] if model.causal else model.position[: tokens.shape[1]]
    x = x + places
    return model.norm(x) if model.name.startswith("bert-post") else x


def test_states_of_a_stacked_lstm_are_those_of_a_shorter_stack():
    language = grammar_language()
    model, (tokens, lengths) = shaken("lstm-3x8", language), padded_sentences(language)
    shorter = build_model("lstm-2x8", language).double()
    state = {k: v for k, v in model.state_dict().items() if "_l2" not in k}
    shorter.load_state_dict(state)
    words = inside(lengths, tokens.shape[1])
    for one, other in zip(model.layer_features(tokens), shorter.layer_features(tokens), strict=False):
        assert gap(one[words], other[words]) < 1e-12
    assert model.layer_features(tokens)[0].shape == (*tokens.shape, 8)
    assert model.layer_features(tokens)[3].shape == (*tokens.shape, 16)


@pytest.mark.parametrize("model", ["lookup", "one-hot"])
def test_a_model_without_layers_says_so(model):
    language = demo_hmm()
    table = OneHot(language) if model == "one-hot" else build_model("lookup", language)
    with pytest.raises(InputError, match=f"model '{model}' has no layers"):
        linear_probe(table, language, FIRST_WORD, 20, 20, 1, choice=FeatureChoice(layer=0))


# ---- extraction


@pytest.mark.parametrize("name", ["bert-2x16", "lstm-2x8", "gpt-2x16"])
@pytest.mark.parametrize("in_memory", [0, 2**30])
def test_each_reading_is_a_part_of_the_whole(name, in_memory, monkeypatch):
    monkeypatch.setattr(features_module, "CHUNK", 5)
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    sentences = Sentences(tokens, lengths)
    choices = [FeatureChoice(layer, position) for layer in (None, 0, 2) for position in (None, 1, 3)]
    found = extract(model, sentences, choices, FeatureStorage(None, in_memory))
    assert {features.memory is None for features in found.values()} == {in_memory == 0}
    whole, words = concatenated_features(model, sentences), inside(lengths, tokens.shape[1])
    layers = [words_alone(model, layer, tokens) for layer in model.layer_features(model.whole(tokens))]
    for choice, features in found.items():
        rows = torch.cat([part.clone() for _, part in features.in_order()])
        if choice.layer is None:
            assert rows.shape[1] == choice.width(model.feature_size, tokens.shape[1])
        expected = whole.unflatten(1, (tokens.shape[1], -1))
        if choice.layer is not None:
            expected = layers[choice.layer].masked_fill(~words[..., None], 0.0).detach()
        expected = expected.flatten(1) if choice.position is None else expected[:, choice.position - 1]
        assert gap(rows, expected) < 1e-12
    third = torch.cat([part.clone() for _, part in found[FeatureChoice(None, 3)].in_order()])
    assert (third[lengths < 3] == 0).all()


def test_a_position_beyond_every_sentence_reads_zeros():
    language = grammar_language()
    model = shaken("bert-1x16", language)
    sentences = Sentences(torch.tensor([[0, 1], [1, 0]]), torch.tensor([2, 2]))
    found = extract(model, sentences, [FeatureChoice(position=5)], FeatureStorage())[FeatureChoice(position=5)]
    assert torch.equal(found.memory, torch.zeros(2, 16, dtype=torch.float64))


def test_bf16_rounds_the_features_and_halves_them():
    language = demo_hmm()
    model, sentences = shaken("bert-1x16", language, dtype=torch.float32), demo_hmm().sample(30, generator(0))
    plain, half = (
        extract(model, sentences, [FeatureChoice()], FeatureStorage(), p)[FeatureChoice()].memory
        for p in ("float32", "bf16")
    )
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, plain.bfloat16())


# ---- probes


def test_the_embedding_knows_its_own_word_and_no_other():
    language = demo_hmm()
    model = shaken("bert-2x16", language)
    third = Labelled(10, lambda s: s.tokens[:, 2])
    choices = [FeatureChoice(0, 3), FeatureChoice(0, 4), FeatureChoice(0), FeatureChoice()]
    found = frozen_probes(model, language, third, {"o": Optimum()}, choices, Samples(800, 400, 2))
    assert found["o", choices[0]].value == 1.0
    assert found["o", choices[1]].value < 0.7
    assert found["o", choices[2]].value == 1.0


def test_a_probe_among_others_is_the_probe_alone():
    language = demo_hmm()
    model, state = shaken("bert-2x16", language), demo_hmm().tasks["state-3"]
    choices, samples = [FeatureChoice(), FeatureChoice(1), FeatureChoice(2, 3)], Samples(200, 150, 2, 7)
    many = frozen_probes(model, language, state, {"a": Optimum(1e-2), "b": Optimum(None)}, choices, samples)
    assert len(many) == 6
    for choice in choices:
        assert linear_probe(model, language, state, 200, 150, 2, 1e-2, 7, choice=choice) == many["a", choice]
        assert many["b", choice].l2 == linear_probe(model, language, state, 200, 150, 2, None, 7, choice=choice).l2
    assert len({accuracy.value for accuracy in many.values()}) > 2


@pytest.mark.parametrize("method", [Optimum(), Optimum(None)])
def test_from_disk_the_accuracy_is_that_from_memory(method):
    language = demo_hmm()
    model, state = shaken("bert-1x16", language), demo_hmm().tasks["state-3"]
    memory, disk = (
        linear_probe(model, language, state, 300, 200, 2, method=method, extraction=Extraction(storage=storage))
        for storage in (FeatureStorage(), FeatureStorage(None, 0))
    )
    assert disk.value == pytest.approx(memory.value, abs=0.01)
    assert disk.l2 == memory.l2


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (FeatureChoice(layer=3), r"layer is 3, expected 0 \(the embedding\) to 2, the layers of bert-2x16"),
        (FeatureChoice(layer=-1), "layer is -1"),
        (FeatureChoice(position=0), "position is 0, expected 1 to 8"),
        (FeatureChoice(position=9), "position is 9"),
    ],
)
def test_what_is_not_there_is_refused(choice, message):
    language = demo_hmm()
    with pytest.raises(InputError, match=message):
        linear_probe(shaken("bert-2x16", language), language, FIRST_WORD, 20, 20, 1, choice=choice)
