"""Problems of multinomial logistic regression, and their optimum by Newton's method."""

import torch

from support.words import generator


def problem(n, d, k, seed, kind="plain"):
    """(features, labels): labels depend on the features but are not determined by them."""
    source = generator(seed)
    x = torch.randn(n, d, generator=source, dtype=torch.float64)
    if kind == "correlated":
        x = x @ torch.randn(d, d, generator=source, dtype=torch.float64).cumsum(1) + 0.01 * x
    if kind == "low rank":
        x = x[:, :2] @ torch.randn(2, d, generator=source, dtype=torch.float64)
    x = x * torch.logspace(-3, 3, d, dtype=torch.float64) + torch.linspace(-5, 5, d, dtype=torch.float64)
    standard = (x - x.mean(0)) / x.std(0)
    scores = standard @ torch.randn(d, k, generator=source, dtype=torch.float64) * d**-0.5 * 2
    gumbel = -(-torch.rand(n, k, generator=source, dtype=torch.float64).log()).log()
    return x, (scores + gumbel).argmax(1)


def standardised(features):
    centred = features - features.mean(0)
    deviation = centred.square().mean(0).sqrt()
    return torch.where(deviation > 1e-9, centred / deviation, 0.0)


def objective(x, labels, l2):
    """mean -log softmax(W x + b)[y] + l2 / 2 ||W||^2 as a function of W and b in one vector."""

    def value(flat, k):
        table = flat.reshape(k, x.shape[1] + 1)
        weight, bias = table[:, :-1], table[:, -1]
        log_p = (x @ weight.T + bias).log_softmax(1)
        return -log_p[torch.arange(len(x)), labels].mean() + 0.5 * l2 * weight.square().sum()

    return value


def newton(value, k, size):
    """The optimum [k * size] by Newton's method with halved steps."""
    flat = torch.zeros(k * size, dtype=torch.float64)
    for _ in range(100):
        gradient = torch.func.grad(value)(flat, k)
        if gradient.abs().max() < 1e-13:
            break
        hessian = torch.func.hessian(value)(flat, k)
        direction = -torch.linalg.pinv(hessian, hermitian=True, rtol=1e-13) @ gradient
        step = 1.0
        while step > 1e-6 and value(flat + step * direction, k) > value(flat, k):
            step /= 2
        flat = flat + step * direction
    assert torch.func.grad(value)(flat, k).abs().max() < 1e-9
    return flat


def solution(probe):
    return torch.cat([probe.weight, probe.bias[:, None]], 1).flatten()


PROBLEMS = [
    (60, 3, 2, 1e-2, "plain"),
    (200, 5, 4, 1e-4, "plain"),
    (200, 6, 3, 1e-4, "correlated"),
    (150, 8, 3, 1e-3, "low rank"),
    (20, 12, 2, 1e-3, "plain"),
    (300, 4, 5, 1.0, "correlated"),
    (12, 15, 3, 1e-2, "low rank"),
    (400, 5, 2, 1e-6, "plain"),
]
