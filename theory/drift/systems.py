"""The systems on which the drift is computed: two weights, a deep linear softmax, and any language model."""

import torch
from torch import Tensor, nn

from ...flatness.contexts import probabilities
from ...flatness.operator import Space, twice_differentiable
from ...generators.sentences import Batch
from ...models import LanguageModel
from ...randomness import random_stream
from .problem import FiniteProblem


def two_weights(p: float) -> FiniteProblem:
    """One context, two words, logits (u w, 0): the smallest model with a manifold of minimisers.

    Gamma = {u w = log(p / (1 - p))} and Tr(H) = p (1 - p) (u^2 + w^2). The limit ODE has the solution
    u^2 - w^2 = (u_0^2 - w_0^2) exp(-p (1 - p) t). A step of SGD with batch size 1 multiplies u^2 - w^2 by exactly
    1 - eta^2 g^2, where g is the derivative of the sampled loss by the logit.

    Args:
        p: probability of the first word.

    Returns:
        The problem; its parameters are (u, w).
    """

    def logits(theta: Tensor) -> Tensor:
        product = theta[:, :1] * theta[:, 1:]
        return torch.stack([product, torch.zeros_like(product)], -1)

    truth = torch.tensor([[p, 1 - p]], dtype=torch.float64)
    return FiniteProblem(logits, truth, torch.ones(1, dtype=torch.float64))


def deep_linear(contexts: int = 4, words: int = 3, width: int = 4, seed: int = 0) -> tuple[FiniteProblem, Tensor]:
    """Logits W_2 W_1 e_x, both matrices drawn as standard normal numbers; the truth is what they compute.

    On Gamma, with C_x = diag p*_x - p*_x p*_x^T and h_x = W_1 e_x,

        Tr(H) = sum_x w_x (tr(C_x) ||h_x||^2 + tr(W_2^T C_x W_2))

    Args:
        contexts: number of contexts x, all equally likely.
        words: number of words.
        width: number of features.
        seed: of the draw.

    Returns:
        (The problem, the drawn parameters [P], a point of Gamma: W_1 [width, contexts], then W_2 [words, width].)
    """
    size = width * contexts

    def logits(theta: Tensor) -> Tensor:
        first = theta[:, :size].view(-1, width, contexts)
        second = theta[:, size:].view(-1, words, width)
        return (second @ first).transpose(1, 2)

    generator = random_stream(seed, "theory")
    start = torch.randn(size + words * width, generator=generator, dtype=torch.float64)
    weights = torch.full((contexts,), 1 / contexts, dtype=torch.float64)
    return FiniteProblem(logits, logits(start[None])[0].softmax(-1), weights), start


class _At(nn.Module):
    """A model's logits at the contexts of a batch, as a module's forward pass."""

    def __init__(self, model: LanguageModel, batch: Batch) -> None:
        super().__init__()
        self.model, self.batch = model, batch

    def forward(self) -> Tensor:
        logits: Tensor = self.model.logits_at(self.batch.inputs, self.batch.rows, self.batch.positions)
        return logits


def of_model(model: LanguageModel, batch: Batch, truth: Tensor | None = None) -> tuple[FiniteProblem, Tensor]:
    """Any language model on the contexts of a batch, equally likely.

    Args:
        model: with float64 weights and in evaluation mode; it is not changed.
        batch: the contexts.
        truth: p* [C, V]; unless given, the model itself, which then starts on Gamma.

    Returns:
        (The problem, the model's parameters [P].)
    """
    space, module = Space(model), _At(model, batch)
    names = [name for name, parameter in module.named_parameters() if parameter.requires_grad]

    def one(theta: Tensor) -> Tensor:
        found: Tensor = torch.func.functional_call(module, dict(zip(names, space.split(theta), strict=True)), ())
        return found

    def logits(theta: Tensor) -> Tensor:
        with twice_differentiable(several=True):
            found: Tensor = torch.func.vmap(one)(theta)
        return found

    truth = probabilities(model, batch) if truth is None else truth
    weights = torch.full((len(truth),), 1 / len(truth), dtype=torch.float64, device=truth.device)
    return FiniteProblem(logits, truth, weights), space.join([p.detach() for p in space.parameters])
