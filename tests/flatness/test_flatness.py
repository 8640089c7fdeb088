"""The sampled trace against exact traces over all contexts of a tiny language, and against itself."""

import math
from dataclasses import fields

import numpy as np
import pytest
import torch
from support.contexts import Exact, all_contexts, gauss_newton, true_hessian
from support.networks import NETWORKS, demo_hmm, grammar_language, shaken, tiny_hmm
from support.untouched import untouched
from support.words import generator
from torch import nn

from satlab.errors import InputError
from satlab.flatness import contexts, flatness_measures, hessian_trace, trace_methods
from satlab.flatness.estimators import sampled_gradient
from satlab.flatness.ghost_norms import fallback as gradients
from satlab.generators.batches import Stream
from satlab.models import build_model
from satlab.models.interface import LanguageModel

BLOCKS = ("embedding", "position", "weight", "bias", "norm")


def sampled(language, count, seed=0):
    return language.sample(count, generator(seed), latents=False)


def kinds(model):
    """name -> kind of each parameter, by the module it belongs to and not by its name."""
    found = {}
    for prefix, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix, recurse=False):
            if isinstance(module, nn.Embedding):
                found[name] = "embedding"
            elif isinstance(module, nn.LayerNorm):
                found[name] = "norm"
            elif parameter.dim() == 1:
                found[name] = "bias"
            elif isinstance(module, (nn.Linear, nn.LSTM)):
                found[name] = "weight"
            else:
                found[name] = "position"
    return found


def by_kind(model, shares):
    totals, kind = {}, kinds(model)
    for name, share in shares.items():
        totals[kind[name]] = totals.get(kind[name], 0.0) + share
    return totals


# ---- the squared gradients, computed in three ways; each parameter's: test_squares.py


def vectorised(model, batch, words):
    model.per_example_gradients = True
    return gradients.squares(model, batch, words)


def traces(model, batch, draws, way):
    """By kind of parameter: way(model, batch, words) of words that the model draws."""
    words = sampled_gradient.draw_words(model, batch, draws, generator(3))
    return {name: values.mean(1) for name, values in by_kind(model, way(model, batch, words)).items()}


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("name", ["bert-1x16", "bert-2x16", "bert-post-2x16"])
def test_vectorised_gradients_are_those_of_one_context_after_the_other(name, masking):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 12, 1, masking).batch(1)
    entry = sampled_gradient.block_traces(model, batch, 2, generator(3))
    one, other = traces(model, batch, 2, vectorised), traces(model, batch, 2, gradients.one_by_one)
    assert one.keys() == other.keys() == entry.keys() == set(BLOCKS)
    for block in BLOCKS:
        assert one[block].shape == entry[block].shape == (len(batch.rows),)
        assert (one[block] - other[block]).abs().max() < 1e-10 * other[block].max()
        assert (entry[block] - other[block]).abs().max() < 1e-10 * other[block].max()
        assert one[block].min() > 0


def test_a_small_budget_of_memory_changes_nothing(monkeypatch):
    language = demo_hmm()
    model, batch = shaken("bert-1x16", language), Stream(language, 11, 1).batch(1)
    whole = traces(model, batch, 2, vectorised)
    for count in (1, 4):
        numbers = sum(p.numel() for p in model.parameters())
        monkeypatch.setattr(gradients, "GRADIENT_BUDGET", count * numbers)
        monkeypatch.setattr(contexts, "ACTIVATIONS", count * 16 * language.max_length)
        for way in (vectorised, sampled_gradient.recorded_squares):
            parts = traces(model, batch, 2, way)
            assert all((parts[block] - whole[block]).abs().max() < 1e-11 * whole[block].max() for block in BLOCKS)


@pytest.mark.parametrize("method", ["sampled-gradient", "hutchinson", "hutch++"])
@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x4"])
def test_measuring_changes_neither_weights_nor_gradients_nor_random_state(name, method):
    language = demo_hmm()
    model = shaken(name, language, dropout=0.4)
    model.train()
    settings = {} if method == "sampled-gradient" else {"probes": 6}
    with untouched(model):
        one = hessian_trace(model, sampled(language, 12), method, **settings)
        model.train()
        assert hessian_trace(model, sampled(language, 12), method, **settings) == one


LEAST = {"probes": 2, "draws": 1, "eigenvalues": 1, "iterations": 1}


@pytest.mark.parametrize(
    ("measure", "setting"),
    [(measure, f.name) for measure in flatness_measures for f in fields(flatness_measures[measure]) if f.name in LEAST],
)
def test_the_least_number_is_taken_and_one_fewer_refused(measure, setting):
    least = 6 if measure == "hutch++" else LEAST[setting]
    assert getattr(flatness_measures[measure](**{setting: least}), setting) == least
    with pytest.raises(InputError, match=f"{setting} is {least - 1}, expected at least {least}"):
        flatness_measures[measure](**{setting: least - 1})


def test_the_trace_has_a_seed():
    language = demo_hmm()
    model, sentences = shaken("bert-1x16", language), sampled(language, 20)
    assert hessian_trace(model, sentences, seed=1) != hessian_trace(model, sentences, seed=2)


# ---- against exact traces


@pytest.mark.parametrize(
    ("name", "count", "draws"), [("bert-1x8", 3000, 1), ("bert-post-1x8", 3000, 3), ("lstm-1x4", 700, 2)]
)
def test_the_trace_is_that_of_the_gauss_newton_matrix(name, count, draws):
    language = tiny_hmm()
    model = shaken(name, language, deviation=0.3)
    exact = by_kind(model, gauss_newton(model, all_contexts(language)))
    found = hessian_trace(model, sampled(language, count), draws=draws, seed=1)
    assert found.n == count
    assert set(found.blocks) == set(exact)
    for estimate, value in [(found, sum(exact.values())), *((found.blocks[k], exact[k]) for k in exact)]:
        assert abs(estimate.value - value) < 4 * estimate.stderr
        assert estimate.stderr < 0.15 * value


@pytest.mark.parametrize("vectorised", [True, False])
def test_where_the_model_is_the_truth_the_trace_is_that_of_the_hessian(vectorised):
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = Exact(language, contexts, vectorised)
    exact = true_hessian(model, contexts)
    found = hessian_trace(model, sampled(language, 4000 if vectorised else 1500), seed=2)
    table = (contexts.weights[:, None] * contexts.truth * (1 - contexts.truth)).sum().item()
    assert exact["embedding"] == pytest.approx(table, abs=1e-10)
    for estimate, value in [
        (found.blocks["embedding"], exact["embedding"]),
        (found.blocks["weight"], exact["mix"]),
        (found, sum(exact.values())),
    ]:
        assert abs(estimate.value - value) < 4 * estimate.stderr
        assert estimate.stderr < 0.05 * value


def test_at_the_truth_gauss_newton_and_hessian_agree_and_elsewhere_not():
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = Exact(language, contexts)
    one, other = gauss_newton(model, contexts), true_hessian(model, contexts)
    assert all(one[name] == pytest.approx(other[name], rel=1e-10) for name in one)
    network = shaken("bert-1x8", language, deviation=0.3)
    one, other = (sum(trace(network, contexts).values()) for trace in (gauss_newton, true_hessian))
    assert abs(one - other) > 0.05 * one


def closed_form(contexts, draws):
    """Mean and variance over contexts and draws of || e_v - p ||^2, averaged over draws, for a table of logits."""
    p = contexts.truth
    terms = 1 - 2 * p + p.square().sum(1, keepdim=True)
    given = (p * terms).sum(1)
    within = (p * (terms - given[:, None]).square()).sum(1)
    mean = (contexts.weights * given).sum()
    return float(mean), float((contexts.weights * ((given - mean).square() + within / draws)).sum())


@pytest.mark.parametrize("draws", [1, 4, 32])
def test_more_draws_reduce_the_error_as_far_as_contexts_allow(draws):
    language = tiny_hmm()
    contexts = all_contexts(language)
    found = hessian_trace(Exact(language, contexts), sampled(language, 2500), draws=draws).blocks["embedding"]
    mean, variance = closed_form(contexts, draws)
    assert abs(found.value - mean) < 4 * found.stderr
    assert found.stderr == pytest.approx(math.sqrt(variance / 2500), rel=0.08)
    assert variance < closed_form(contexts, max(1, draws // 4))[1] or draws == 1


def test_the_standard_error_is_the_deviation_over_repetitions():
    language = tiny_hmm()
    model = Exact(language, all_contexts(language))
    found = [hessian_trace(model, sampled(language, 60, seed), seed=seed) for seed in range(300)]
    deviation = np.std([f.value for f in found], ddof=1)
    # The relative error of a deviation from 300 values is 1 / sqrt(600) = 4 %.
    assert np.sqrt(np.mean([f.stderr**2 for f in found])) == pytest.approx(deviation, rel=0.15)


class Long(LanguageModel):
    """Logits w times the sentence's length: all contexts of a sentence have the same squared gradient."""

    def __init__(self, language):
        super().__init__()
        self.name, self.vocab_size, self.max_length = "long", language.vocab_size, language.max_length
        self.feature_size, self.weight = 1, nn.Parameter(torch.zeros(1, language.vocab_size, dtype=torch.float64))

    def features(self, tokens):
        lengths = (tokens != self.pad_id).sum(1).double()
        return lengths[:, None, None].expand(-1, tokens.shape[1], 1)

    def logits(self, features):
        return features @ self.weight


def test_words_hidden_in_one_sentence_are_not_independent_draws():
    """With several contexts a sentence the error is over sentences, as it is for the held-out set."""
    language = grammar_language()
    model, masking = Long(language), "bernoulli:0.9"
    found = [hessian_trace(model, sampled(language, 60, seed), seed=seed, masking=masking) for seed in range(300)]
    deviation = np.std([f.value for f in found], ddof=1)
    assert np.sqrt(np.mean([f.stderr**2 for f in found])) == pytest.approx(deviation, rel=0.15)


# ---- blocks and errors


@pytest.mark.parametrize("name", [*NETWORKS, "bert-3x128"])
def test_every_parameter_is_in_the_block_of_its_kind(name):
    model = build_model(name, demo_hmm())
    assert {n: model.parameter_block(n) for n, _ in model.named_parameters()} == kinds(model)


@pytest.mark.parametrize("name", ["bert-2x16", "bert-post-2x16", "lstm-2x8"])
def test_blocks_add_up_to_the_total(name):
    language = demo_hmm()
    model = shaken(name, language)
    found = hessian_trace(model, sampled(language, 15), draws=2)
    assert set(found.blocks) == set(kinds(model).values())
    assert sum(block.value for block in found.blocks.values()) == pytest.approx(found.value, rel=1e-12)
    assert all(block.value > 0 and block.stderr > 0 and block.n == 15 for block in found.blocks.values())
    assert found.stderr < sum(block.stderr for block in found.blocks.values()) * (1 + 1e-12)


@pytest.mark.parametrize("name", ["bert-1x8", "lstm-1x4"])
def test_the_tied_embedding_is_one_parameter(name):
    """Its gradient is the sum of what reading and predicting give; as two parameters the trace would be another."""
    language = tiny_hmm()
    model, batch = shaken(name, language), all_contexts(language).batch
    together = sampled_gradient.block_traces(model, batch, 1, generator(0))["embedding"].sum()
    words = sampled_gradient.draw_words(model, batch, 1, generator(0))[:, 0]
    table, expected, apart = model.words.embedding.weight, 0.0, 0.0
    for i, word in enumerate(words):
        read = table.detach().clone().requires_grad_()
        write = table.detach().clone().requires_grad_()
        model.words.embedding.weight = nn.Parameter(table.detach())
        model.words.read = lambda tokens, read=read: read[tokens]
        model.words.predict = lambda f, write=write: f @ write[: language.vocab_size].T + model.words.bias
        logits = model.logits_at(batch.inputs[i][None], torch.tensor([0]), batch.positions[i][None])
        one, two = torch.autograd.grad(logits.log_softmax(1)[0, word], [read, write])
        expected, apart = expected + (one + two).square().sum(), apart + one.square().sum() + two.square().sum()
    assert together == pytest.approx(float(expected), rel=1e-10)
    assert abs(together - apart) > 1e-5 * apart


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
def test_frozen_parameters_have_no_share(name):
    """Only trainable parameters count."""
    language = demo_hmm()
    model, sentences = shaken(name, language), sampled(language, 8)
    whole = hessian_trace(model, sentences)
    model.words.embedding.weight.requires_grad_(False)
    found = hessian_trace(model, sentences)
    assert found.value == pytest.approx(whole.value - whole.blocks["embedding"].value, rel=1e-10)


def test_an_unknown_method_is_answered_with_the_known_ones():
    language = demo_hmm()
    model, sentences = shaken("bert-1x16", language), sampled(language, 4)
    with pytest.raises(
        InputError, match="unknown flatness method 'sampled-gradients': did you mean 'sampled-gradient'"
    ):
        hessian_trace(model, sentences, "sampled-gradients")
    with pytest.raises(InputError, match="unknown masking"):
        hessian_trace(model, sentences, masking="two")
    every = {"by-parts", "gauss-newton", "gauss-newton-hutchinson", "hutch++", "hutchinson", "random-factor"}
    assert trace_methods() == sorted(every | {"residual", "sampled-gradient"})


@pytest.mark.parametrize("method", ["hutchinson", "hutch++"])
def test_targets_and_truth_are_asked_for_by_name(method):
    language = demo_hmm()
    model, sentences = shaken("bert-1x16", language), sampled(language, 8)
    with pytest.raises(InputError, match="unknown targets 'exakt': did you mean 'exact'"):
        hessian_trace(model, sentences, method, targets="exakt")
    for given in ({"method": method, "targets": "exact"}, {"method": "residual"}, {"method": "by-parts"}):
        with pytest.raises(InputError, match="needs the exact truth, expected the language of the sentences"):
            hessian_trace(model, sentences, **given)
    with pytest.raises(InputError, match="probes"):
        hessian_trace(model, sentences, method, probes=1 if method == "hutch++" else 9)


@pytest.mark.parametrize(("count", "draws"), [(1, 1), (4, 0), (4, -2)])
def test_too_few_sentences_or_draws_are_refused(count, draws):
    language = demo_hmm()
    with pytest.raises(
        InputError, match="1 contexts, expected at least 2" if count == 1 else f"draws is {draws}, expected at least 1"
    ):
        hessian_trace(shaken("bert-1x16", language), sampled(language, count), draws=draws)
