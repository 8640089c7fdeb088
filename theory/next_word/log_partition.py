"""The log partition function of a softmax model as a quadratic form of its features.

    log Z(f) = log sum_w exp(f . phi_w + b_w),      grad log Z(f) = Phi p_f

Where log Z = f^T A f / 2 + b . f + c on the features that occur, Phi p_f = A f + b is linear in f. Beside the least
squares fit stands the second cumulant, log Z = log sum_w e^(b_w) + mu . f + f^T Sigma f / 2, with the mean mu and the
covariance Sigma of the words' features under softmax(b), the weights at f = 0.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError

AT_ONCE = 2**24
"""Logits that are held at once, 128 MB."""


@dataclass(frozen=True)
class Quadratic:
    """f^T A f / 2 + b . f + c.

    Args:
        matrix: A [d, d], symmetric.
        slope: b [d].
        constant: c.
    """

    matrix: Tensor
    slope: Tensor
    constant: float

    def value(self, features: Tensor) -> Tensor:
        """The form at features [m, d]: [m]."""
        return ((features @ self.matrix) * features).sum(1) / 2 + features @ self.slope + self.constant

    def gradient(self, features: Tensor) -> Tensor:
        """A f + b at features [m, d]: [m, d]."""
        return features @ self.matrix + self.slope


def log_partition(features: Tensor, phi: Tensor, bias: Tensor) -> Tensor:
    """log Z [m] of features [m, d]; some contexts at a time."""
    phi, bias = phi.double(), bias.double()
    some = features.double().split(max(1, AT_ONCE // len(bias)))
    return torch.cat([(part @ phi + bias).logsumexp(1) for part in some])


def fit_quadratic(features: Tensor, values: Tensor, weights: Tensor) -> Quadratic:
    """The least squares fit of a quadratic form with d (d + 1) / 2 + d + 1 numbers.

    Directions in which the features do not vary leave the form undetermined; the shortest solution is taken, in
    standardised coordinates.

    Args:
        features: f [m, d].
        values: log Z [m].
        weights: of the contexts [m].

    Returns:
        The form.

    Raises:
        InputError: for fewer contexts than numbers to fit.
    """
    f, w = features.double(), (weights / weights.sum()).double()
    d = f.shape[1]
    numbers = d * (d + 1) // 2 + d + 1
    if int((w > 0).sum()) < numbers:
        raise InputError(
            f"{int((w > 0).sum())} contexts for the {numbers} numbers of a quadratic form of {d} features, expected at "
            "least as many; give more contexts"
        )
    centre = w @ f
    scale = (w @ (f - centre).square()).sqrt()
    scale = torch.where(scale > 1e-12, scale, torch.inf)
    x = (f - centre) / scale
    one, other = torch.triu_indices(d, d, device=f.device)
    design = torch.cat([x[:, one] * x[:, other], x, torch.ones_like(x[:, :1])], 1)
    root = w.sqrt()[:, None]
    solution = torch.linalg.lstsq(root * design, root * values.double()[:, None], rcond=1e-12, driver="gelsd").solution
    upper, slope, constant = solution[: len(one), 0], solution[len(one) : -1, 0], float(solution[-1, 0])
    matrix = torch.zeros(d, d, dtype=torch.float64, device=f.device)
    matrix[one, other] = upper
    matrix = (matrix + matrix.T) / scale[:, None] / scale
    slope = slope / scale
    at = centre @ matrix
    return Quadratic(matrix, slope - at, constant - float(slope @ centre) + float(at @ centre) / 2)


def linear_fit(features: Tensor, means: Tensor, weights: Tensor) -> Quadratic:
    """The least squares fit of Phi p_f by A f + b itself, the best that any quadratic form for log Z could give.

    Args:
        features: f [m, d].
        means: Phi p_f [m, k].
        weights: of the contexts [m].

    Returns:
        A form with this gradient; A need not be symmetric, and the form's value says nothing.
    """
    root = (weights / weights.sum()).double().sqrt()[:, None]
    design = torch.nn.functional.pad(features.double(), (0, 1), value=1.0)
    solution = torch.linalg.lstsq(root * design, root * means.double(), rcond=1e-12, driver="gelsd").solution
    return Quadratic(solution[:-1], solution[-1], 0.0)


def second_cumulant(phi: Tensor, bias: Tensor) -> Quadratic:
    """The expansion of log Z at f = 0 to second order."""
    phi, bias = phi.double(), bias.double()
    p = bias.softmax(0)
    mean = phi @ p
    centred = phi - mean[:, None]
    return Quadratic(centred @ (centred * p).T, mean, float(bias.logsumexp(0)))


@dataclass(frozen=True)
class Fit:
    """How well a form follows log Z on fresh contexts.

    Args:
        r2: 1 - (mean square of the error) / (variance of log Z).
        largest: the largest |error|, nats.
        values: log Z [m].
        predicted: by the form [m].
    """

    r2: float
    largest: float
    values: Tensor
    predicted: Tensor


def judge(form: Quadratic, features: Tensor, phi: Tensor, bias: Tensor, weights: Tensor) -> Fit:
    """Compares a form with log Z.

    Args:
        form: the form.
        features: f [m, d] of contexts that it was not fitted to.
        phi: Phi [d, C].
        bias: [C].
        weights: of the contexts [m].

    Returns:
        The comparison.
    """
    values, predicted = log_partition(features, phi, bias), form.value(features.double())
    w = (weights / weights.sum()).double()
    spread = float(w @ (values - w @ values).square())
    wrong = float(w @ (values - predicted).square())
    return Fit(1 - wrong / spread, float((values - predicted).abs().max()), values, predicted)
