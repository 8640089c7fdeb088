"""Muon's step on a CPU: against the singular values in float64, and beside torch's own, which is in bfloat16."""

import numpy as np
import pytest
import torch

from satlab.train.muon_step import CpuMuon, orthogonal

COEFFICIENTS = (3.4445, -4.775, 2.0315)


def polynomial(values, iterations):
    a, b, c = COEFFICIENTS
    for _ in range(iterations):
        values = a * values + b * values**3 + c * values**5
    return values


@pytest.mark.parametrize("shape", [(5, 5), (3, 9), (8, 2), (1, 4)])
@pytest.mark.parametrize("iterations", [0, 1, 5])
def test_iterations_are_a_polynomial_of_the_singular_values(shape, iterations):
    matrices = torch.randn(4, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = orthogonal(matrices, COEFFICIENTS, iterations, 1e-7)
    for matrix, made in zip(matrices, found, strict=True):
        u, s, v = np.linalg.svd(matrix.numpy(), full_matrices=False)
        expected = u @ np.diag(polynomial(s / np.sqrt((s**2).sum()), iterations)) @ v
        assert np.abs(made.numpy() - expected).max() < 1e-12


def test_a_matrix_of_zeros_stays_one():
    assert not orthogonal(torch.zeros(1, 3, 4), COEFFICIENTS, 5, 1e-7).any()


def made(kind, shapes, seed=0, **settings):
    generator = torch.Generator().manual_seed(seed)
    parameters = [torch.nn.Parameter(torch.randn(*shape, generator=generator)) for shape in shapes]
    settings = {"lr": 0.01, "weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"} | settings
    return parameters, kind(parameters, **settings)


def test_steps_are_torchs_up_to_bfloat16():
    shapes = [(16, 16), (16, 16), (16, 64), (64, 16)]
    ours, theirs = made(CpuMuon, shapes), made(torch.optim.Muon, shapes)
    begun = [p.detach().clone() for p in ours[0]]
    generator = torch.Generator().manual_seed(7)
    for _ in range(5):
        gradients = [torch.randn(*shape, generator=generator) for shape in shapes]
        for parameters, optimizer in (ours, theirs):
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient.clone()
            optimizer.step()
    for p, q, start in zip(ours[0], theirs[0], begun, strict=True):
        assert torch.linalg.norm(p - q) < 0.02 * torch.linalg.norm(p - start)
    for p, q in zip(ours[0], theirs[0], strict=True):
        assert torch.equal(ours[1].state[p]["momentum_buffer"], theirs[1].state[q]["momentum_buffer"])


def test_a_parameter_without_gradient_stays():
    (one, other), optimizer = made(CpuMuon, [(4, 4), (4, 4)])
    one.grad, before = torch.ones(4, 4), other.detach().clone()
    optimizer.step()
    assert torch.equal(other, before)
    assert other not in optimizer.state
