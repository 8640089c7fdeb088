"""The residual LSTM against its formula, cell by cell, with and without padding."""

import pytest
import torch
from support.networks import demo_hmm, gap, grammar_language, inside, padded_sentences, shaken
from support.words import generator
from torch import nn

from satlab.models import build_model


def one_direction(lstm, x, suffix):
    """The states of one direction over one sentence [T, d], by the cell's equations."""
    weights = [getattr(lstm, f"{name}_l0{suffix}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    hidden = cell = torch.zeros(lstm.hidden_size, dtype=x.dtype)
    states = []
    for word in x.flip(0) if suffix else x:
        gates = weights[0] @ word + weights[2] + weights[1] @ hidden + weights[3]
        entry, forget, update, exit_ = gates.chunk(4)
        cell = forget.sigmoid() * cell + entry.sigmoid() * update.tanh()
        hidden = exit_.sigmoid() * cell.tanh()
        states.append(hidden)
    return torch.stack(states[::-1] if suffix else states)


def by_hand(model, tokens):
    """features of one sentence without padding, [T, d]."""
    x = model.words.embedding.weight[tokens]
    for layer in model.layers:
        read = layer.norm(x)
        states = torch.cat([one_direction(layer.lstm, read, suffix) for suffix in ("", "_reverse")], 1)
        x = x + states @ layer.join.weight.T + layer.join.bias
    return nn.functional.layer_norm(x, x.shape[1:], model.norm.weight, model.norm.bias)


@pytest.mark.parametrize("name", ["lstm-residual-1x16", "lstm-residual-3x6"])
def test_features_are_those_of_the_formula_at_any_padding(name):
    language = grammar_language()
    model, (tokens, lengths) = shaken(name, language), padded_sentences(language)
    features = model.features(tokens)
    for row, length in enumerate(lengths.tolist()):
        expected = by_hand(model, tokens[row, :length])
        assert gap(features[row, :length], expected) < 1e-12
        assert gap(model.features(tokens[row : row + 1, :length])[0], expected) < 1e-12


def test_gradients_are_the_same_with_and_without_padding():
    language = grammar_language()
    model, (tokens, lengths) = shaken("lstm-residual-2x8", language), padded_sentences(language)
    weights = torch.randn(*tokens.shape, language.vocab_size, generator=generator(2), dtype=torch.float64)
    weights *= inside(lengths, tokens.shape[1])[..., None]
    parameters = list(model.parameters())
    together = torch.autograd.grad((weights * model(tokens)).sum(), parameters)
    alone = sum(
        (weights[row, :length] * model(tokens[row : row + 1, :length])[0]).sum()
        for row, length in enumerate(lengths.tolist())
    )
    for one, other in zip(together, torch.autograd.grad(alone, parameters), strict=True):
        assert gap(one, other) < 1e-11 * max(1.0, float(one.abs().max()))


def test_initial_weights_are_those_of_the_plain_lstm():
    model = build_model("lstm-residual-2x64", demo_hmm())
    for name, parameter in model.named_parameters():
        if "norm" in name:
            assert (parameter == float(name.endswith("weight"))).all(), name
        elif parameter.dim() == 1:
            assert (parameter == 0).all(), name
        elif "lstm" in name:
            bound = parameter.shape[1] ** -0.5
            assert parameter.abs().max() <= bound, name
            assert float(parameter.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05), name
        else:
            assert float(parameter.detach().std()) == pytest.approx(0.02, rel=0.1), name


def test_dropout_acts_on_each_layer_and_not_in_evaluation():
    language = demo_hmm()
    tokens = language.sample(4, generator(0)).tokens
    model = shaken("lstm-residual-2x8", language, dropout=0.5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert torch.equal(model(tokens), model(tokens))
        assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.5, 0.5, 0.5]
        model.train()
        model.dropout.p = 0.0
        assert gap(model(tokens), model(tokens)) > 0.1
        for layer in model.layers:
            layer.dropout.p = 0.0
        assert torch.equal(model(tokens), model.eval()(tokens))
