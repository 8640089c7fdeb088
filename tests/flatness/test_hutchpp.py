"""Hutch++ over fixed contexts against the exact trace of their Hessian."""

import pytest
import torch
from support.networks import gap, shaken, tiny_hmm
from support.words import generator

from satlab.errors import InputError
from satlab.flatness import hessian_trace
from satlab.flatness.estimators import hutchpp
from satlab.flatness.operator import Curvature
from satlab.flatness.trace_terms import Given
from satlab.generators.batches import Stream


@pytest.fixture(scope="module", params=["bert-1x2", "lstm-1x2"])
def case(request):
    """(model, contexts with their truth, the dense Hessian of their mean loss)."""
    language = tiny_hmm()
    model, stream = shaken(request.param, language, deviation=0.3), Stream(language, 6, 1)
    batch = stream.batch(1)
    given = Given(batch, generator(0), truth=stream.truth(batch))
    operator = Curvature(model, "hessian", batch, given.truth, 10**6)
    return model, given, operator(torch.eye(len(operator.space), dtype=torch.float64))


def own_trace(model, given, row):
    """Of one context's Hessian."""
    part, which = given.batch.select(slice(row, row + 1))
    operator = Curvature(model, "hessian", part, given.truth[which], 10**6)
    return operator(torch.eye(len(operator.space), dtype=torch.float64)).trace()


def estimated(model, given, probes, seed=0):
    return hutchpp.HutchPlusPlus(probes).terms(model, Given(given.batch, generator(seed), given.truth)).estimate


def test_a_sketch_of_all_directions_is_exact(case):
    model, given, dense = case
    found = estimated(model, given, 3 * len(dense))
    assert found.value == pytest.approx(float(dense.trace()), rel=1e-8)
    # What is left of the error is that over contexts, as their own traces have it.
    traces = torch.stack([own_trace(model, given, row) for row in range(len(given.batch.inputs))])
    assert found.stderr == pytest.approx(float(traces.std()) / len(traces) ** 0.5, rel=1e-6)
    assert found.n == len(traces) == 6
    blocks = Curvature(model, "hessian", given.batch, given.truth, 10**6).space.by_block(dense.diagonal())
    assert found.blocks.keys() == blocks.keys()
    for block, value in blocks.items():
        assert found.blocks[block].value == pytest.approx(float(value), rel=1e-8)


def test_the_mean_is_the_trace_in_total_and_by_block(case, monkeypatch):
    monkeypatch.setattr(hutchpp, "PARTS", 1)
    model, given, dense = case
    found = [estimated(model, given, 30, seed) for seed in range(12)]
    blocks = Curvature(model, "hessian", given.batch, given.truth, 10**6).space.by_block(dense.diagonal())
    for exact, values in [
        (dense.trace(), [f.value for f in found]),
        *((exact, [f.blocks[block].value for f in found]) for block, exact in blocks.items()),
    ]:
        stderr = float(torch.tensor(values).std()) / 12**0.5
        assert abs(sum(values) / 12 - float(exact)) < 4 * stderr
        assert stderr < 0.05 * float(dense.diagonal().abs().sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bert-1x2", "lstm-1x2"])
def test_the_standard_error_covers_vectors_and_contexts(name):
    """Over fresh contexts and vectors; it may be too large by the share of the vectors' spread that counts twice."""
    language = tiny_hmm()
    model, stream = shaken(name, language, deviation=0.3), Stream(language, 12, 1)
    found = []
    for step in range(30):
        batch = stream.batch(step + 1)
        given = Given(batch, generator(step), truth=stream.truth(batch))
        found.append(hutchpp.HutchPlusPlus(12).terms(model, given).estimate)
    for values in (found, *([f.blocks[block] for f in found] for block in found[0].blocks)):
        spread = float(torch.tensor([f.value for f in values]).std())
        claimed = (sum(f.stderr**2 for f in values) / 30) ** 0.5
        assert 0.7 * spread < claimed < 1.8 * spread


def test_it_is_closer_than_as_many_plain_probes(case, monkeypatch):
    monkeypatch.setattr(hutchpp, "PARTS", 1)
    model, given, dense = case
    plain = []
    operator = Curvature(model, "hessian", given.batch, given.truth, 10**6)
    for seed in range(12):
        noise = generator(seed)
        signs = [operator.space.signs(noise) for _ in range(30)]
        plain.append(sum(float(v @ dense @ v) for v in signs) / 30)
    ours = [estimated(model, given, 30, seed).value for seed in range(12)]
    assert torch.tensor(ours).std() < 0.6 * torch.tensor(plain).std()


def test_the_basis_is_orthonormal(case):
    model, given, _ = case
    operator = Curvature(model, "hessian", given.batch, given.truth, 10**6)
    basis = hutchpp.sketch(operator, 8, generator(1))
    assert gap(basis.T @ basis, torch.eye(8, dtype=torch.float64)) < 1e-12


def test_too_few_products_are_refused():
    language = tiny_hmm()
    with pytest.raises(InputError, match="probes is 5, expected at least 6 for hutch"):
        hessian_trace(shaken("bert-1x3", language), language.sample(9, generator(0)), "hutch++", probes=5)
