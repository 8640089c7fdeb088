"""The largest eigenvalues against those of dense matrices."""

import pytest
import torch
from support.networks import gap, shaken, tiny_hmm
from support.words import generator

from satlab.errors import InputError
from satlab.flatness import top_eigenvalues
from satlab.flatness.estimators import lanczos
from satlab.flatness.operator import Curvature
from satlab.flatness.problem import contexts_of, truth_of
from satlab.generators.batches import Stream
from satlab.randomness import random_stream

CASES = [("bert-1x2", "one", tiny_hmm), ("lstm-1x2", "bernoulli:0.5", tiny_hmm), ("gpt-1x2", "next", tiny_hmm)]


def dense(model, kind, batch, truth):
    operator = Curvature(model, kind, batch, truth, 10**6)
    return operator(torch.eye(len(operator.space), dtype=torch.float64))


@pytest.mark.parametrize("kind", ["hessian", "gauss-newton"])
@pytest.mark.parametrize(("name", "masking", "make"), CASES)
def test_the_largest_are_those_of_the_dense_matrix(name, masking, make, kind):
    language = make()
    model, sentences = shaken(name, language, deviation=0.4), language.sample(25, generator(1), latents=False)
    batch = contexts_of(model, sentences, masking, random_stream(5, "flatness"))
    truth = truth_of(language, batch, masking, "lanczos")
    values, _ = torch.linalg.eigh(dense(model, kind, batch, truth))
    found = top_eigenvalues(model, sentences, 3, kind, 5, masking, iterations=200, targets="exact", language=language)
    assert len(found) == 3
    for eigenvalue, exact in zip(found, values.flip(0), strict=False):
        assert abs(eigenvalue.value - float(exact)) <= max(eigenvalue.bound, 1e-8 * float(values[-1]))
        assert eigenvalue.bound <= lanczos.TOLERANCE * float(values.abs().max())
        assert sum(block.value for block in eigenvalue.blocks.values()) == pytest.approx(eigenvalue.value, rel=1e-6)
    assert found[0].value == pytest.approx(float(values[-1]), rel=1e-8)
    assert 0 < found[0].stderr < 0.7 * found[0].value
    assert 10 < found[0].n <= 25


def test_all_eigenvalues_of_a_small_matrix_and_orthonormal_vectors():
    language = tiny_hmm()
    model, batch = shaken("bert-1x2", language, deviation=0.4), Stream(language, 30, 1).batch(1)
    operator = Curvature(model, "hessian", batch, None, 10**6)
    matrix = dense(model, "hessian", batch, None)
    values, vectors, bounds = lanczos.lanczos(operator, len(matrix), len(matrix), generator(0))
    assert gap(vectors.T @ vectors, torch.eye(vectors.shape[1], dtype=torch.float64)) < 1e-12
    assert gap(matrix @ vectors, vectors * values) < 1e-6 * float(values.abs().max())
    exact = torch.linalg.eigvalsh(matrix)
    for value, bound in zip(values, bounds, strict=True):
        assert float((exact - value).abs().min()) <= float(bound) + 1e-10 * float(exact.abs().max())
    assert torch.equal(values, values.sort(descending=True).values)


def test_bounds_hold_when_it_is_stopped_early():
    language = tiny_hmm()
    model, batch = shaken("bert-1x3", language, deviation=0.4), Stream(language, 30, 1).batch(1)
    operator = Curvature(model, "hessian", batch, None, 10**6)
    exact = torch.linalg.eigvalsh(dense(model, "hessian", batch, None))
    for iterations in (3, 6, 12):
        values, _, bounds = lanczos.lanczos(operator, 2, iterations, generator(0))
        distance = (exact - values[:, None]).abs().min(1).values
        assert bool((distance <= bounds + 1e-12).all())
    assert float(bounds[0]) < 1e-2 * float(exact[-1])


@pytest.mark.slow
def test_the_standard_error_is_the_deviation_over_samples_of_contexts():
    language = tiny_hmm()
    model = shaken("bert-1x2", language, deviation=0.3)
    found = [
        top_eigenvalues(
            model, language.sample(60, generator(seed), latents=False), 1, "gauss-newton", seed, iterations=15
        )[0]
        for seed in range(16)
    ]
    deviation = float(torch.tensor([f.value for f in found]).std())
    assert (sum(f.stderr**2 for f in found) / 16) ** 0.5 == pytest.approx(deviation, rel=0.5)


def test_what_cannot_be_used_is_refused():
    language = tiny_hmm()
    model, sentences = shaken("bert-1x2", language), language.sample(9, generator(0))
    with pytest.raises(InputError, match="unknown targets 'exactly': did you mean 'exact'"):
        top_eigenvalues(model, sentences, targets="exactly")
    with pytest.raises(InputError, match="'lanczos' needs the exact truth"):
        top_eigenvalues(model, sentences, targets="exact")


def test_what_has_not_converged_is_not_given():
    language = tiny_hmm()
    model, sentences = shaken("bert-1x3", language, deviation=0.4), language.sample(25, generator(0), latents=False)
    with pytest.raises(InputError, match=r"lanczos: 0 of the 1 largest .* in 1 iterations.*; give more iterations"):
        top_eigenvalues(model, sentences, 1, iterations=1)
    whole = top_eigenvalues(model, sentences, 6, iterations=200)
    assert len(whole) == 6
    with pytest.warns(UserWarning, match=r"of the 6 largest eigenvalues converged in 12 iterations"):
        some = top_eigenvalues(model, sentences, 6, iterations=12)
    for one, other in zip(some, whole, strict=False):
        assert one.value == pytest.approx(other.value, abs=one.bound + 1e-9)
    assert 1 <= len(some) < 6
