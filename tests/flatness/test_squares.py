"""Squared gradients of every parameter, no gradient formed: against autograd, one context and word after the other."""

import math

import pytest
import torch
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, shaken, tiny_hmm
from support.words import generator
from torch import nn

from satlab.flatness.contexts import groups, probabilities
from satlab.flatness.estimators import gauss_newton, random_factor, sampled_gradient
from satlab.flatness.ghost_norms import fallback as gradients
from satlab.flatness.ghost_norms import lstm as recurrent
from satlab.flatness.ghost_norms import norms as uses
from satlab.flatness.ghost_norms.recorder import Recorded, UnknownUseError, can_record
from satlab.flatness.trace_terms import Given, by_block
from satlab.generators.batches import Stream


def squares_of(model, batch, draws=2):
    """(recorded, by autograd) of words drawn from the model."""
    words = sampled_gradient.draw_words(model, batch, draws, generator(3))
    return sampled_gradient.recorded_squares(model, batch, words), gradients.one_by_one(model, batch, words)


def assert_equal(one, other, relative=1e-9):
    """Each parameter's, as a share of the largest there is: a key's bias has no gradient but rounding."""
    assert one.keys() == other.keys()
    scale = max(float(values.max()) for values in other.values())
    for name in other:
        assert gap(one[name], other[name]) <= relative * max(float(other[name].max()), 1e-6 * scale), name


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter(name, masking):
    """Sentences of 1 to 7 words."""
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 12, 1, masking).batch(1)
    assert len({len(c.inputs[0]) for c in groups(model, batch)}) > 2
    assert_equal(*squares_of(model, batch))


@pytest.mark.parametrize("name", ["gpt-1x16", "gpt-2x16"])
def test_every_parameter_of_a_causal_model(name):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 6, 1, "next").batch(1)
    assert_equal(*squares_of(model, batch))


@pytest.mark.parametrize("name", ["bert-2x8", "bert-2x128", "lstm-residual-1x8", "lstm-1x64"])
def test_small_gradients_are_formed_and_large_ones_are_not(name, monkeypatch):
    """Both ways of a product, and gradients formed a few at a time."""
    language = demo_hmm()
    model, batch = shaken(name, language, deviation=0.1), Stream(language, 5, 1).batch(1)
    formed = []
    monkeypatch.setattr(uses, "_square", lambda x, kept=uses._square: (formed.append(x.dim()), kept(x))[1])
    assert_equal(*squares_of(model, batch, 1))
    # The positions' gradient alone is always there.
    assert (formed.count(3) > 1) == ("x8" in name)
    monkeypatch.setattr(uses, "LARGEST", 2 * 8 * 8)
    assert_equal(*squares_of(model, batch, 1))


@pytest.mark.parametrize("name", ["bert-2x16", "lstm-2x8", "lstm-residual-2x8"])
@pytest.mark.parametrize("frozen", ["words.embedding.weight", "words.bias", "norm", "weight_hh", "position", "query"])
def test_frozen_parameters_are_left_out_and_change_nothing(name, frozen):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 6, 1).batch(1)
    chosen = [path for path, _ in model.named_parameters() if frozen in path]
    for path in chosen:
        model.get_parameter(path).requires_grad_(False)
    one, other = squares_of(model, batch)
    assert not set(chosen) & set(one)
    assert_equal(one, other)


@pytest.mark.parametrize("name", ["bert-2x64", "lstm-residual-2x32"])
def test_single_precision(name):
    language = demo_hmm()
    model, batch = shaken(name, language, deviation=0.1, dtype=torch.float32), Stream(language, 8, 1).batch(1)
    one, other = (by_block(model, squares) for squares in squares_of(model, batch, 1))
    for block in other:
        assert gap(one[block], other[block]) < 2e-5 * float(other[block].max())


def test_a_model_that_has_been_trained_here_leaves_padding_out_elsewhere_too():
    language = grammar_language()
    model, batch = shaken("bert-2x16", language), Stream(language, 12, 1).batch(1)
    model.packs = True
    assert_equal(*squares_of(model, batch))
    words = sampled_gradient.draw_words(model, batch, 2, generator(3))
    assert_equal(gradients.squares(model, batch, words), gradients.one_by_one(model, batch, words))
    assert model.packs


@pytest.mark.parametrize("layers", [1, 2])
def test_the_unrolled_lstm_is_the_lstm(layers):
    lstm = nn.LSTM(5, 7, layers, batch_first=True, bidirectional=True, dtype=torch.float64)
    noise = generator(1)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.normal_(0, 0.7, generator=noise)
    x = torch.randn(4, 6, 5, dtype=torch.float64, generator=noise, requires_grad=True)
    weight = torch.randn(4, 6, 14, dtype=torch.float64, generator=noise)
    fused = lstm(x)[0]
    with recurrent.PlainLstm():
        plain = lstm(x)[0]
    assert gap(fused, plain) < 1e-14
    inputs = [x, *lstm.parameters()]
    one, other = (torch.autograd.grad((out * weight).sum(), inputs) for out in (fused, plain))
    assert max(map(gap, one, other)) < 1e-13


class Doubled(nn.Module):
    """A linear layer that is applied twice."""

    def __init__(self, inside):
        super().__init__()
        self.weight, self.bias = inside.weight, inside.bias

    def forward(self, x):
        return nn.functional.linear(nn.functional.linear(x, self.weight, self.bias), self.weight, self.bias)


class Squared(Doubled):
    def forward(self, x):
        return nn.functional.linear(x, self.weight.square(), self.bias)


def odd_model(kind, language):
    """A network with an operation that no recorder knows."""
    model = shaken("bert-1x8", language)
    model.blocks[0].attention.out = kind(model.blocks[0].attention.out)
    return model


@pytest.mark.parametrize("kind", [Doubled, Squared])
def test_a_use_that_nobody_knows_is_not_passed_over(kind):
    language = tiny_hmm()
    model = odd_model(kind, language)
    (contexts,) = groups(model, Stream(language, 3, 1).batch(1))
    assert not can_record(model)
    with pytest.raises(UnknownUseError):
        Recorded(model, contexts)


@pytest.mark.parametrize("kind", [Doubled, Squared])
def test_a_use_that_nobody_knows_falls_back_to_plain_gradients(kind):
    """All three Gauss-Newton measures of such a network: two are exact in each context, one on average over draws."""
    language = tiny_hmm()
    model = odd_model(kind, language)
    batch = Stream(language, 3, 1).batch(1)
    words = sampled_gradient.draw_words(model, batch, 2, generator(3))
    drawn = gradients.one_by_one(model, batch, words)
    expected = by_block(model, {name: values.mean(1) for name, values in drawn.items()})
    assert_equal(sampled_gradient.block_traces(model, batch, 2, generator(3)), expected)
    exact = gauss_newton.context_traces(model, batch)
    f = probabilities(model, batch)
    every = torch.arange(f.shape[1]).expand(len(f), -1)
    of_words = gradients.one_by_one(model, batch, every)
    assert_equal(exact, by_block(model, {name: (f * values).sum(1) for name, values in of_words.items()}))
    given = Given(batch, generator(1))
    found = torch.stack([sum(random_factor.plain_terms(model, given, 1).values()) for _ in range(200)])
    error = found.mean(0) - sum(exact.values())
    assert (error.abs() < 4 * found.std(0) / math.sqrt(200)).all()
    assert random_factor.factor_terms(model, given, 1).sums.keys() == exact.keys()


def test_plain_gradients_of_a_covector_are_those_of_the_words_it_stands_for():
    language = tiny_hmm()
    model, batch = shaken("bert-1x8", language), Stream(language, 3, 1).batch(1)
    covectors = torch.nn.functional.one_hot(batch.targets, model.num_classes) - probabilities(model, batch)
    expected = gradients.one_by_one(model, batch, batch.targets[:, None])
    assert_equal(gradients.pulled(model, batch, covectors), {name: values[:, 0] for name, values in expected.items()})
