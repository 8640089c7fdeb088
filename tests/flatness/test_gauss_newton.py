"""The exact Gauss-Newton trace against whole Jacobians, and its cheap estimate from one combination of words."""

import pytest
import torch
from support.contexts import Exact, all_contexts, gauss_newton
from support.networks import NETWORKS, demo_hmm, gap, grammar_language, shaken, tiny_hmm
from support.words import generator

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.flatness.contexts import probabilities
from satlab.flatness.estimators import gauss_newton as exact_trace
from satlab.flatness.estimators import random_factor
from satlab.flatness.estimators.gauss_newton import context_traces
from satlab.flatness.ghost_norms import fallback as gradients
from satlab.flatness.trace_terms import Given, by_block
from satlab.generators.batches import Stream


def by_kind(model, shares):
    return by_block(model, {name: torch.tensor(share, dtype=torch.float64) for name, share in shares.items()})


@pytest.mark.parametrize("name", ["bert-1x8", "bert-2x2", "bert-post-1x8"])
def test_against_whole_jacobians_over_all_contexts(name):
    """With fewer factors than features, and with more."""
    language = tiny_hmm(words=4)
    contexts = all_contexts(language)
    model = shaken(name, language, deviation=0.4)
    exact = by_kind(model, gauss_newton(model, contexts))
    found = context_traces(model, contexts.batch)
    assert found.keys() == exact.keys()
    for block, values in found.items():
        assert float((contexts.weights * values).sum()) == pytest.approx(float(exact[block]), rel=1e-10)


def by_words(model, batch):
    """sum_v f_v || grad log f_v ||^2, each gradient by autograd."""
    f = probabilities(model, batch)
    words = torch.arange(f.shape[1]).expand(len(f), -1)
    squares = gradients.one_by_one(model, batch, words)
    return by_block(model, {name: (f * values).sum(1) for name, values in squares.items()})


@pytest.mark.parametrize(
    ("name", "masking"),
    [
        *((name, "one") for name in NETWORKS),
        ("bert-2x16", "bernoulli:0.4"),
        ("lstm-2x8", "bernoulli:0.4"),
        ("gpt-1x3", "next"),
        ("gpt-2x16", "next"),
    ],
)
def test_each_context_with_padding(name, masking):
    language = grammar_language()
    model, batch = shaken(name, language), Stream(language, 6, 1, masking).batch(1)
    found, exact = context_traces(model, batch), by_words(model, batch)
    assert found.keys() == exact.keys()
    assert all(gap(found[block], exact[block]) < 1e-11 * float(exact[block].max()) for block in exact)


def test_wide_models_are_taken_a_few_contexts_at_a_time(monkeypatch):
    """No more d x d matrices at once than the limit allows, and the same traces."""
    language = grammar_language()
    model, batch = shaken("bert-1x16", language), Stream(language, 12, 1).batch(1)
    whole, taken, traces = context_traces(model, batch), [], exact_trace._traces
    monkeypatch.setattr(exact_trace, "MATRICES", 2 * 16**2)
    monkeypatch.setattr(exact_trace, "_traces", lambda m, part: taken.append(len(part)) or traces(m, part))
    parts = context_traces(model, batch)
    assert max(taken) == 2
    assert sum(taken) == len(batch.rows)
    assert all(gap(parts[block], whole[block]) < 1e-11 * float(whole[block].max()) for block in whole)


def test_a_model_without_a_tied_head():
    language = tiny_hmm()
    contexts = all_contexts(language)
    model = Exact(language, contexts)
    exact, found = gauss_newton(model, contexts), context_traces(model, contexts.batch)
    assert float((contexts.weights * found["embedding"]).sum()) == pytest.approx(exact["embedding"], rel=1e-10)
    assert float((contexts.weights * found["weight"]).sum()) == pytest.approx(exact["mix"], rel=1e-10)
    with pytest.raises(InputError, match="random-factor with model 'exact'"):
        hessian_trace(model, language.sample(4, generator(0)), "random-factor")


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x8"])
def test_a_frozen_embedding(name):
    language = demo_hmm()
    model, batch = shaken(name, language), Stream(language, 4, 1).batch(1)
    whole = context_traces(model, batch)
    model.words.embedding.weight.requires_grad_(False)
    found = context_traces(model, batch)
    assert found.keys() == whole.keys() - {"embedding"}
    assert all(gap(found[block], whole[block]) < 1e-12 * float(whole[block].max()) for block in found)


@pytest.mark.parametrize("name", ["bert-1x16", pytest.param("lstm-residual-1x8", marks=pytest.mark.slow)])
def test_all_estimators_of_it_agree_on_the_same_contexts(name):
    """At many draws: what is left is their own noise."""
    language = demo_hmm()
    model, sentences = shaken(name, language), language.sample(60, generator(1), latents=False)
    exact = hessian_trace(model, sentences, "gauss-newton")
    for method, draws in (("sampled-gradient", 300), ("random-factor", 300)):
        found = hessian_trace(model, sentences, method, draws)
        again = [hessian_trace(model, sentences, method, draws // 10, seed=0) for _ in range(2)]
        assert again[0] == again[1]
        for block in exact.blocks:
            # A tenth of the draws has about three times the noise: an estimate of it, since contexts are the same.
            noise = 4 * abs(again[0].blocks[block].value - found.blocks[block].value) + 0.02 * exact.blocks[block].value
            assert abs(found.blocks[block].value - exact.blocks[block].value) < noise
        assert found.value == pytest.approx(exact.value, rel=0.03)


@pytest.mark.parametrize(("name", "masking"), [("bert-1x8", "one"), ("lstm-1x4", "one"), ("gpt-1x4", "next")])
@pytest.mark.slow
def test_the_mean_of_combinations_is_the_trace(name, masking, monkeypatch):
    """Over the random signs alone, on fixed contexts: the correction's bias would show."""
    language = tiny_hmm()
    model, batch = shaken(name, language, deviation=0.3), Stream(language, 6, 1, masking).batch(1)
    exact = sum(context_traces(model, batch).values())
    monkeypatch.setattr(random_factor, "FEWEST", 2)
    found, raw = [], []
    for seed in range(150):
        given = Given(batch, generator(seed))
        found.append(random_factor.RandomFactor().terms(model, given).estimate.value)
        raw.append(float(sum(random_factor.context_terms(model, given, 1)[0].values()).mean()))
    for values in (torch.tensor(found), torch.tensor(raw)):
        stderr = float(values.std()) / 150**0.5
        assert abs(float(values.mean() - exact.mean())) < 4 * stderr
        assert stderr < 0.03 * float(exact.mean())


def test_combinations_need_fewer_contexts_than_sampled_words():
    language = demo_hmm()
    model, sentences = shaken("bert-2x16", language, deviation=0.2), language.sample(600, generator(1), latents=False)
    exact, one, other = (
        hessian_trace(model, sentences, name) for name in ("gauss-newton", "random-factor", "sampled-gradient")
    )
    assert exact.stderr < one.stderr < other.stderr
    assert abs(one.value - exact.value) < 4 * (one.stderr**2 - exact.stderr**2) ** 0.5
    assert one.n == other.n == exact.n == 600
    for found in (exact, one):
        assert sum(block.value for block in found.blocks.values()) == pytest.approx(found.value, rel=1e-12)
