"""Noise of the gradient = Gauss-Newton matrix = Hessian where the model is the truth: entry by entry."""

import dataclasses

import pytest
import torch
from support.contexts import all_contexts
from support.networks import demo_hmm, gap, shaken, tiny_hmm
from support.untouched import untouched
from torch.nn.attention import SDPBackend, sdpa_kernel

from satlab.errors import InputError
from satlab.estimate import Estimate
from satlab.flatness.contexts import probabilities
from satlab.generators.batches import make_batch
from satlab.models import build_model
from satlab.theory import Link, Subject, theorems
from satlab.theory.bartlett import Bartlett, curvature_matrix, gradient_covariance, word_gradients

NAMES = ["bert-1x4", "gpt-1x4", "lstm-1x4"]
NAMES += [pytest.param(name, marks=pytest.mark.slow) for name in ("bert-post-1x4", "lstm-residual-1x4")]


def problem(name):
    """(a model of a few hundred weights that nothing is nearly linear in, contexts of a language of 3 words)."""
    language = tiny_hmm()
    model = shaken(name, language)
    if not model.causal:
        return model, all_contexts(language).batch
    sentences = language.sample(6, torch.Generator().manual_seed(1), latents=False)
    return model, make_batch(sentences, "next", language.vocab_size, torch.Generator())


def plain_covariance(model, batch, truth):
    """sum_c sum_v p*_v g g^T / m, each gradient by a backward pass of its own."""
    parameters = list(model.parameters())
    total = 0
    for row, position, p in zip(batch.rows, batch.positions, truth, strict=True):
        for v, weight in enumerate(p):
            loss = -model(batch.inputs[row][None])[0, position].log_softmax(0)[v]
            gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
            g = torch.cat([one.flatten() for one in gradients])
            total = total + weight * torch.outer(g, g)
    return total / len(truth)


def plain_hessian(model, batch, truth):
    """The Hessian of -mean_c sum_v p*_v log f_v, row by row.

    Not by torch.func, which in torch 2.13 gives rows of LayerNorm's weight that central differences contradict.
    """
    parameters = list(model.parameters())
    with sdpa_kernel(SDPBackend.MATH):
        loss = -(truth * model(batch.inputs)[batch.rows, batch.positions].log_softmax(1)).sum() / len(truth)
        first = torch.autograd.grad(loss, parameters, create_graph=True, materialize_grads=True)
        rows = []
        for entry in torch.cat([one.flatten() for one in first]):
            second = torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([one.flatten() for one in second]))
    return torch.stack(rows)


@pytest.mark.parametrize("name", NAMES)
def test_the_three_matrices_are_one_where_the_model_is_the_truth(name):
    model, batch = problem(name)
    own = probabilities(model, batch)
    covariance = gradient_covariance(model, batch)
    scale = float(covariance.abs().max())
    assert 200 < len(covariance) < 900
    assert scale > 1e-3
    assert gap(covariance, plain_covariance(model, batch, own)) < 1e-12 * scale
    assert gap(covariance, curvature_matrix(model, batch, "gauss-newton")) < 1e-12 * scale
    assert gap(covariance, curvature_matrix(model, batch, "hessian", own)) < 1e-8 * scale
    if "lstm" not in name:  # torch's fused LSTM has no second derivative
        assert gap(covariance, plain_hessian(model, batch, own)) < 1e-8 * scale


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(n, marks=pytest.mark.slow) for n in ("bert-post-1x4", "gpt-1x4"))]
)
def test_away_from_saturation_they_differ_by_the_residual(name):
    model, batch = problem(name)
    truth = probabilities(shaken(name, tiny_hmm(), seed=7), batch)
    assert gap(gradient_covariance(model, batch, truth), plain_covariance(model, batch, truth)) < 1e-12
    hessian_, fisher = plain_hessian(model, batch, truth), curvature_matrix(model, batch, "gauss-newton")
    assert gap(hessian_ - fisher, curvature_matrix(model, batch, "residual", truth)) < 1e-8
    assert gap(hessian_, fisher) > 0.01
    assert gap(gradient_covariance(model, batch, truth), fisher) > 0.01


def test_gradients_weighted_by_the_models_own_probabilities_vanish():
    model, batch = problem("bert-1x4")
    for f, gradients in word_gradients(model, batch):
        assert float((f @ gradients).abs().max()) < 1e-14
        assert float(gradients.abs().max()) > 0.01


@pytest.mark.parametrize("name", ["bert-1x8", "gpt-1x8", "lstm-1x8"])
def test_all_links_hold_on_any_model(name):
    model = shaken(name, demo_hmm(), dtype=torch.float32)
    with untouched(model):
        masking = "next" if model.causal else "one"
        links = list(Bartlett(contexts=6, vectors=3).check(Subject(model, demo_hmm(), masking)))
    assert [link.name for link in links] == [
        "covariance = gauss-newton",
        "gauss-newton = hessian",
        "hessian - gauss-newton = residual",
    ]
    assert all(link.holds for link in links)
    assert [link.left.n for link in links] == [3, 3, 3]
    assert abs(links[2].right.value) > 100 * links[2].slack


def test_a_wrong_factor_is_noticed(monkeypatch):
    from satlab.theory import bartlett

    plain = bartlett.word_gradients
    monkeypatch.setattr(bartlett, "word_gradients", lambda *given: ((f, g * 1.0001) for f, g in plain(*given)))
    links = Bartlett(contexts=4, vectors=2).check(Subject(shaken("bert-1x8", demo_hmm()), demo_hmm()))
    assert [link.holds for link in links] == [False, True, True]


def test_a_large_model_has_no_matrix():
    model = shaken("bert-2x64", demo_hmm())
    batch = make_batch(demo_hmm().sample(2, torch.Generator(), latents=False), "one", 8, torch.Generator())
    for form in (lambda: gradient_covariance(model, batch), lambda: curvature_matrix(model, batch, "hessian")):
        with pytest.raises(InputError, match="expected at most 4096 where matrices are formed"):
            form()


@pytest.mark.parametrize(
    ("relation", "left", "right", "slack", "holds"),
    [
        ("=", 1.0, 1.0, 0.0, True),
        ("=", 1.0, 1.2, 0.1, False),
        ("=", 1.2, 1.0, 0.1, False),
        ("<=", 1.0, 2.0, 0.0, True),
        ("<=", 2.0, 1.0, 0.5, False),
        ("<=", 2.0, 1.0, 1.0, True),
        ("<=", float("nan"), 1.0, 1.0, False),
        ("<=", float("-inf"), 1.0, 0.0, True),
    ],
)
def test_when_a_link_holds(relation, left, right, slack, holds):
    assert Link("x", Estimate(left, 0, 1), Estimate(right, 0, 1), relation, slack, "nats").holds is holds


@pytest.mark.parametrize("name", list(theorems))
def test_entries_are_documented_settings(name):
    theorem = theorems[name]
    assert dataclasses.is_dataclass(theorem)
    assert theorem.source
    documented = "".join(base.__doc__ or "" for base in theorem.__mro__)
    assert all(f"{field.name}:" in documented for field in dataclasses.fields(theorem))


def test_a_model_without_weights_is_refused():
    with pytest.raises(InputError, match="has no trainable parameters"):
        list(Bartlett(contexts=4, vectors=2).check(Subject(build_model("lookup", demo_hmm()), demo_hmm())))


def test_each_side_has_its_own_error():
    links = list(Bartlett(contexts=6, vectors=3).check(Subject(shaken("bert-1x8", demo_hmm()), demo_hmm())))
    assert all(link.left.stderr == pytest.approx(link.right.stderr, rel=1e-6) for link in links)
    assert all(link.left.stderr > 0 for link in links)
