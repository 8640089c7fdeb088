"""Products with the Hessian, the Gauss-Newton matrix and their difference against the dense matrices."""

import pytest
import torch
from support.networks import gap, grammar_language, shaken, tiny_hmm
from support.words import generator
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from satlab.flatness import operator as curvature
from satlab.flatness.operator import Curvature, Space, passes, product, summed_loss
from satlab.generators.batches import Stream
from satlab.models.interface import LanguageModel

KINDS = ("hessian", "gauss-newton", "residual")


def case(name, masking="one", count=4):
    """A model, its space, contexts of sentences of several lengths, and the truth there."""
    language = grammar_language()
    model, stream = shaken(name, language, deviation=0.5), Stream(language, count, 4, masking)
    batch = stream.batch(1)
    assert len((batch.inputs != language.pad_id).sum(1).unique()) > 1
    return model, Space(model), batch, stream.truth(batch)


def dense(model, space, kind, batch, truth):
    return product(model, space, kind, batch, truth, torch.eye(len(space), dtype=space.dtype))


def jacobian_of(space, values):
    """Of values [...] that have a graph: [..., P]."""
    rows = [
        space.join(torch.autograd.grad(value, space.parameters, retain_graph=True, materialize_grads=True))
        for value in values.flatten()
    ]
    return torch.stack(rows).view(*values.shape, -1)


def hessian_of(space, scalar):
    return jacobian_of(
        space, space.join(torch.autograd.grad(scalar, space.parameters, create_graph=True, materialize_grads=True))
    )


def squared_of(space, logits):
    """sum J^T (diag f - f f^T) J."""
    J, f = jacobian_of(space, logits), logits.detach().softmax(1)
    metric = torch.diag_embed(f) - f[:, :, None] * f[:, None, :]
    return torch.einsum("mvp,mvw,mwq->pq", J, metric, J)


@pytest.mark.parametrize(
    ("name", "masking", "soft"),
    [
        ("bert-1x2", "one", True),
        pytest.param("bert-1x2", "one", False, marks=pytest.mark.slow),
        ("bert-post-1x2", "bernoulli:0.5", True),
        ("gpt-1x2", "next", True),
    ],
)
def test_all_three_are_the_dense_matrices(name, masking, soft):
    model, space, batch, truth = case(name, masking)
    goal = truth if soft else F.one_hot(batch.targets, truth.shape[1]).double()
    with sdpa_kernel(SDPBackend.MATH):
        logits = model(batch.inputs)[batch.rows, batch.positions]
        exact = {
            "hessian": hessian_of(space, -(goal * logits.log_softmax(1)).sum()),
            "gauss-newton": squared_of(space, logits),
            "residual": hessian_of(space, ((logits.detach().softmax(1) - goal) * logits).sum()),
        }
    scale = float(exact["hessian"].abs().max())
    assert gap(exact["hessian"], exact["gauss-newton"] + exact["residual"]) < 1e-12 * scale
    for kind in KINDS:
        found = dense(model, space, kind, batch, truth if soft else None)
        assert gap(found, exact[kind]) < 1e-11 * scale


@pytest.mark.parametrize("name", ["bert-1x4", "lstm-1x4", "lstm-2x3", "lstm-residual-2x3"])
def test_the_hessian_is_the_change_of_the_gradient(name):
    """Central differences of the gradient by the fused kernels of attention and LSTM, over padded sentences."""
    model, space, batch, truth = case(name)
    direction = torch.randn(len(space), dtype=torch.float64, generator=generator(2))
    origin, step = space.join([p.detach().clone() for p in space.parameters]), 1e-5

    def gradient(at):
        with torch.no_grad():
            for parameter, values in zip(space.parameters, space.split(at), strict=True):
                parameter.copy_(values)
        loss = summed_loss(model.logits_at(batch.inputs, batch.rows, batch.positions), batch, truth)
        return space.join(torch.autograd.grad(loss, space.parameters))

    found = product(model, space, "hessian", batch, truth, direction)
    numeric = (gradient(origin + step * direction) - gradient(origin - step * direction)) / (2 * step)
    gradient(origin)
    assert gap(found, numeric) < 1e-6 * float(numeric.abs().max())
    parts = [product(model, space, kind, batch, truth, direction) for kind in KINDS[1:]]
    assert gap(found, sum(parts)) < 1e-12 * float(found.abs().max())


def test_the_gauss_newton_matrix_of_an_lstm():
    model, space, batch, truth = case("lstm-residual-1x2")
    exact = squared_of(space, model.logits_at(batch.inputs, batch.rows, batch.positions))
    assert gap(dense(model, space, "gauss-newton", batch, truth), exact) < 1e-12 * float(exact.abs().max())


@pytest.mark.parametrize("name", ["bert-1x4", "lstm-1x4"])
def test_parts_make_no_difference_and_each_sentence_is_in_one(name):
    model, space, batch, truth = case(name, "bernoulli:0.4", 9)
    vector = space.signs(generator(1))
    for kind in KINDS:
        whole = product(model, space, kind, batch, truth, vector) / len(batch.rows)
        for at_a_time in (1, 2 * batch.inputs.shape[1], 1000):
            operator = Curvature(model, kind, batch, truth, at_a_time)
            assert gap(operator(vector), whole) < 1e-12
            assert sum(count for count, _ in operator.products(vector)) == len(batch.rows)


def test_an_lstm_reads_sentences_length_by_length():
    model, _, batch, truth = case("lstm-1x4", "bernoulli:0.4", 9)
    parts = list(passes(model, batch, truth))
    assert len(parts) > 1
    assert sum(len(part.rows) for part, _ in parts) == len(batch.rows)
    with torch.no_grad():
        whole = summed_loss(model.logits_at(batch.inputs, batch.rows, batch.positions), batch, truth)
        found = [summed_loss(model.logits_at(p.inputs, p.rows, p.positions), p, its) for p, its in parts]
    assert all(bool((part.inputs != model.pad_id).all()) for part, _ in parts)
    assert float(sum(found)) == pytest.approx(float(whole), rel=1e-12)


class Table(LanguageModel):
    """Logits linear in its one parameter."""

    def __init__(self, language):
        super().__init__()
        self.name, self.vocab_size, self.max_length = "table", language.vocab_size, language.max_length
        self.feature_size, self.weight = 1, nn.Parameter(torch.zeros(language.vocab_size, dtype=torch.float64))

    def features(self, tokens):
        return torch.ones(*tokens.shape, 1, dtype=torch.float64)

    def logits(self, features):
        return features * self.weight


def test_where_logits_are_linear_there_is_no_residual():
    language = tiny_hmm()
    model, batch = Table(language), Stream(language, 4, 1).batch(1)
    space = Space(model)
    assert gap(dense(model, space, "residual", batch, None), torch.zeros(3, 3, dtype=torch.float64)) == 0
    f = torch.full((3,), 1 / 3, dtype=torch.float64)
    exact = 4 * (torch.diag(f) - f[:, None] * f)
    for kind in KINDS[:2]:
        assert gap(dense(model, space, kind, batch, None), exact) < 1e-14


def test_frozen_parameters_are_no_part_of_the_space():
    model, space, _, _ = case("bert-1x4")
    model.words.embedding.weight.requires_grad_(False)
    smaller = Space(model)
    assert len(space) - len(smaller) == model.words.embedding.weight.numel()
    assert smaller.by_block(torch.ones(len(smaller))).keys() == {"position", "weight", "bias", "norm"}
    assert sum(map(float, smaller.by_block(torch.ones(len(smaller))).values())) == len(smaller)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "masking"), [("bert-2x4", "one"), ("gpt-1x4", "next"), ("lstm-residual-2x2", "one")])
def test_several_vectors_are_multiplied_as_one_by_one(name, masking, kind, monkeypatch):
    model, space, batch, truth = case(name, masking)
    vectors = torch.stack([space.normal(generator(seed)) for seed in range(5)])
    operator = Curvature(model, kind, batch, truth, batch.inputs.shape[1])
    one_by_one = torch.stack([operator(vector) for vector in vectors])
    assert gap(operator(vectors), one_by_one) < 1e-12 * float(one_by_one.abs().max())
    monkeypatch.setattr(curvature, "TOGETHER", 2 * len(space))
    shares = operator.shares(vectors)
    assert {each.shape for each in shares.values()} == {(5, len(operator.parts))}
    for block, values in space.by_block(vectors * one_by_one).items():
        assert gap(shares[block].sum(1) / operator.count, values) < 1e-11 * float(values.abs().max() + 1)
    assert operator.counts.sum() == operator.count
