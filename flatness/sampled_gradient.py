"""Tr(H) by sampling words from the model (Liu et al. 2022, B.1).

    E_{x,t} E_{v ~ f(.|x_-t)} || grad_theta log f_theta(v | x_-t) ||^2

This is exactly the trace of the Gauss-Newton matrix E J^T (diag f - f f^T) J, J the Jacobian of the logits, and equals
Tr(H) where f is the truth (Bartlett's identity); away from it the two differ by a residual that vanishes with f - p*.
"""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..generators.stream import Batch
from ..models import MaskedLM

GRADIENT_BUDGET = 2**26
"""Numbers that the gradients held at a time may have (256 MiB in float32)."""


def block_traces(model: MaskedLM, batch: Batch, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
    """For each context i the mean over draws of || grad log f(v) ||^2, by kind of parameter: name -> [m] float64."""
    model.eval()
    words = _draw_words(model, batch, draws, generator)
    norms = _vectorised if model.per_example_gradients else _one_by_one
    # The fused kernels of attention cannot be vectorised over gradients, the plain formula can; and
    # cuDNN has no gradient of a recurrent layer in evaluation mode.
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        per_parameter = norms(model, batch, words)
    blocks: dict[str, Tensor] = defaultdict(lambda: torch.zeros(len(batch.rows), dtype=torch.float64))
    for name, values in per_parameter.items():
        blocks[model.parameter_block(name)] = blocks[model.parameter_block(name)] + values
    return dict(blocks)


@torch.no_grad()
def _draw_words(model: MaskedLM, batch: Batch, draws: int, generator: torch.Generator) -> Tensor:
    """v ~ f(. | x_-t), [m, draws]."""
    parts = torch.arange(len(batch.rows), device=batch.rows.device).split(1024)
    logits = [
        model.logits_at(batch.inputs[batch.rows[i]], torch.arange(len(i), device=i.device), batch.positions[i])
        for i in parts
    ]
    probabilities = torch.cat(logits).double().softmax(1)
    return torch.multinomial(probabilities, draws, replacement=True, generator=generator)


class _LogProbability(nn.Module):
    """log f(word | sentence with position hidden), for one sentence [T], as a module that torch.func can call."""

    def __init__(self, model: MaskedLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, position: Tensor, word: Tensor) -> Tensor:
        logits = self.model.logits_at(tokens[None], torch.zeros_like(position[None]), position[None])
        return logits.log_softmax(1)[0].gather(0, word[None])[0]


def _vectorised(model: MaskedLM, batch: Batch, words: Tensor) -> dict[str, Tensor]:
    module = _LogProbability(model)
    parameters = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    gradient = grad(lambda weights, *context: functional_call(module, weights, context))
    vectorised = vmap(gradient, in_dims=(None, 0, 0, 0))
    chunk = max(1, GRADIENT_BUDGET // sum(p.numel() for p in parameters.values()))
    out = {name: torch.zeros(len(batch.rows), dtype=torch.float64) for name in parameters}
    for index in torch.arange(len(batch.rows), device=batch.rows.device).split(chunk):
        inputs, positions = batch.inputs[batch.rows[index]], batch.positions[index]
        for word in words[index].unbind(1):
            for name, g in vectorised(parameters, inputs, positions, word).items():
                out[name][index.cpu()] += g.flatten(1).double().square().sum(1).cpu() / words.shape[1]
    return {name.removeprefix("model."): values for name, values in out.items()}


def _one_by_one(model: MaskedLM, batch: Batch, words: Tensor) -> dict[str, Tensor]:
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    names, parameters = zip(*trainable, strict=True)
    out = {name: torch.zeros(len(batch.rows), dtype=torch.float64) for name in names}
    for i, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
        log_f = model.logits_at(batch.inputs[row][None], torch.zeros_like(row)[None], position[None]).log_softmax(1)[0]
        for word in words[i]:
            gradients = torch.autograd.grad(log_f[word], parameters, retain_graph=True)
            for name, g in zip(names, gradients, strict=True):
                out[name][i] += g.double().square().sum().cpu() / words.shape[1]
    return out
