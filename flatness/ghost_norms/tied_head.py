"""The share of the tied head z = E h + b in a squared gradient. E is the first C rows of the word embedding.

For a covector l [C] at the logits, the gradient of b is l. The gradient of E is l h^T from predicting words plus
sum_t e_(x_t) g_t^T from reading them, with g_t the gradient at the embedding of position t. Its squared norm is

    |l|^2 |h|^2 + || sum_t e_(x_t) g_t^T ||^2 + 2 sum_t l[x_t] <h, g_t>

where the last sum is over positions t whose token is one of the C classes.
"""

import torch
from torch import Tensor

from ...models import LanguageModel
from .recorder import EMBEDDING, OUTPUT_BIAS, Recorded


class Head:
    """The head over m contexts: weight [C, d], bias [C], features h [m, d], and the probabilities f [m, C].

    Args:
        model: with a tied head.
        recorded: its pass over the contexts.
    """

    def __init__(self, model: LanguageModel, recorded: Recorded) -> None:
        parameters = dict(model.named_parameters())
        embedding, bias = parameters[EMBEDDING], parameters[OUTPUT_BIAS]
        self.classes = model.num_classes
        self.weight, self.bias = embedding.detach()[: self.classes], bias.detach()
        self.features, inputs = recorded.features, recorded.inputs
        self.f = (self.features @ self.weight.T + self.bias).softmax(1)
        self.counted = [name for name in (EMBEDDING, OUTPUT_BIAS) if parameters[name].requires_grad]
        self.predicted = (inputs < self.classes).to(self.f.dtype)
        self.classes_read = inputs.clamp(max=self.classes - 1)

    def squares(self, covector: Tensor) -> dict[str, Tensor]:
        """|l|^2 |h|^2 for the embedding and |l|^2 for the bias, [m] float64, for l [m, C]."""
        square = covector.square().sum(1, dtype=torch.float64)
        return self.scaled(square)

    def scaled(self, square: Tensor) -> dict[str, Tensor]:
        """`squares` from |l|^2 [m] or its mean."""
        shares = {EMBEDDING: square * self.features.square().sum(1, dtype=torch.float64), OUTPUT_BIAS: square}
        return {name: shares[name] for name in self.counted}

    def crossed(self, coefficients: Tensor, read: Tensor) -> dict[str, Tensor]:
        """2 sum_t c_t <h, g_t>, [m], over positions t whose token is a class; c is [m, T], g = read is [m, T, d]."""
        if EMBEDDING not in self.counted:
            return {}
        along = (read @ self.features[:, :, None])[..., 0]
        return {EMBEDDING: 2 * (coefficients * self.predicted * along).sum(1, dtype=torch.float64)}


def add(*shares: dict[str, Tensor]) -> dict[str, Tensor]:
    """Adds the shares that have the same name."""
    out: dict[str, Tensor] = {}
    for share in shares:
        for name, values in share.items():
            out[name] = out[name] + values if name in out else values
    return out
