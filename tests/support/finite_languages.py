"""Random finite languages: a few contexts with any truth, any softmax model, any task; all numbers in float64."""

import numpy as np
import torch

from satlab.theory.next_word.finite import Finite


def random_finite(seed, classes=2, contexts=None, spread=None):
    """Contexts of very different weights; the task may leave some out; the model may be near the truth or far."""
    rng = np.random.default_rng([seed, 11])
    m = contexts or int(rng.integers(2, 14))
    words, d = int(rng.integers(2, 9)), int(rng.integers(1, 5))
    truth = rng.dirichlet(np.full(words, rng.choice([0.1, 1.0, 10.0])), size=m)
    truth = np.maximum(truth, 1e-12)
    truth /= truth.sum(1, keepdims=True)
    phi, bias = rng.normal(size=(d, words)), rng.normal(size=words) * rng.integers(0, 2)
    features = rng.normal(size=(m, d)) * (spread or rng.choice([0.1, 1.0, 4.0]))
    logits = features @ phi + bias
    weights = rng.dirichlet(np.full(m, 0.5)) + 1e-6
    task = weights * rng.choice([1.0, 1.0, 5.0], size=m) if seed % 2 else rng.dirichlet(np.ones(m))
    task = task * (rng.random(m) < 0.8)
    if not task.any():
        task = weights.copy()
    law = rng.dirichlet(np.full(classes, rng.choice([0.2, 1.0])), size=m)
    log_p = torch.from_numpy(logits).log_softmax(1)
    tensors = [torch.from_numpy(np.ascontiguousarray(x)) for x in (weights, task, truth, law, features, phi, bias)]
    weights, task, truth, law, features, phi, bias = tensors
    clusters = torch.arange(m) // 2 if seed % 3 else None
    return Finite(weights, task, truth, log_p, law, clusters, features, phi, bias)


def two_words(delta):
    """One context of two equally likely words, whose model errs by delta: every inequality is nearly an equation."""
    truth = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    p = truth + torch.tensor([[-delta, delta]], dtype=torch.float64)
    one = torch.ones(1, dtype=torch.float64)
    phi = torch.tensor([[-0.5, 0.5]], dtype=torch.float64)
    law = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    features = (p[:, 1:] / p[:, :1]).log()
    return Finite(one, one, truth, p.log(), law, None, features, phi, torch.zeros(2, dtype=torch.float64))
