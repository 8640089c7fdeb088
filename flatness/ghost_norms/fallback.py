"""Squared norms of the gradient of log f(v) from whole gradients, for models that a Recorder cannot follow."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...generators.sentences import Batch
from ...models import LanguageModel

GRADIENT_BUDGET = 2**26
"""The most numbers in the gradients held at a time (256 MiB in float32)."""


def squares(model: LanguageModel, batch: Batch, words: Tensor) -> dict[str, Tensor]:
    """|| grad log f(words[i, k] | context i) ||^2 for words [m, K], by parameter: name -> [m, K] float64."""
    # vmap does not support fused attention, only the plain formula. cuDNN has no gradient of a recurrent layer in
    # evaluation mode.
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False), _unpacked(model):
        return (vectorised if model.per_example_gradients else one_by_one)(model, batch, words)


@contextmanager
def _unpacked(model: LanguageModel) -> Iterator[None]:
    """Disables packing within the block: packing depends on the data, which torch.func cannot trace."""
    before, model.packs = model.packs, False
    try:
        yield
    finally:
        model.packs = before


class _LogProbability(nn.Module):
    """log f(word | sentence with the position hidden) for one sentence [T], as a module that torch.func can call."""

    def __init__(self, model: LanguageModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor, position: Tensor, word: Tensor) -> Tensor:
        """The log probability of a word, a scalar."""
        logits = self.model.logits_at(tokens[None], torch.zeros_like(position[None]), position[None])
        return logits.log_softmax(1)[0].gather(0, word[None])[0]


def vectorised(model: LanguageModel, batch: Batch, words: Tensor) -> dict[str, Tensor]:
    """`squares` by torch.func, with as many whole gradients at a time as the budget allows."""
    module = _LogProbability(model)
    parameters = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    gradient = grad(lambda weights, *context: functional_call(module, weights, context))
    several = vmap(gradient, in_dims=(None, 0, 0, 0))
    chunk = max(1, GRADIENT_BUDGET // sum(p.numel() for p in parameters.values()))
    out = {name: torch.zeros(words.shape, dtype=torch.float64) for name in parameters}
    for index in torch.split(torch.arange(len(batch.rows), device=batch.rows.device), chunk):
        inputs, positions = batch.inputs[batch.rows[index]], batch.positions[index]
        for k, word in enumerate(words[index].unbind(1)):
            for name, g in several(parameters, inputs, positions, word).items():
                out[name][index.cpu(), k] = g.flatten(1).double().square().sum(1).cpu()
    return {name.removeprefix("model."): values for name, values in out.items()}


def one_by_one(model: LanguageModel, batch: Batch, words: Tensor) -> dict[str, Tensor]:
    """`squares` by autograd, one gradient at a time."""
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    names, parameters = zip(*trainable, strict=True)
    out = {name: torch.zeros(words.shape, dtype=torch.float64) for name in names}
    for i, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
        log_f = model.logits_at(batch.inputs[row][None], torch.zeros_like(row)[None], position[None]).log_softmax(1)[0]
        for k, word in enumerate(words[i]):
            gradients = torch.autograd.grad(log_f[word], parameters, retain_graph=True)
            for name, g in zip(names, gradients, strict=True):
                out[name][i, k] = g.double().square().sum().cpu()
    return out


def pulled(model: LanguageModel, batch: Batch, covectors: Tensor) -> dict[str, Tensor]:
    """|| J^T l ||^2 by parameter, name -> [m] float64, with J the Jacobian of the logits and l = covectors [m, C]."""
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    names, parameters = zip(*trainable, strict=True)
    out = {name: torch.zeros(len(covectors), dtype=torch.float64) for name in names}
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False), _unpacked(model):
        for i, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
            logits = model.logits_at(batch.inputs[row][None], torch.zeros_like(row)[None], position[None])[0]
            gradients = torch.autograd.grad(logits, parameters, covectors[i].to(logits.dtype), allow_unused=True)
            for name, g in zip(names, gradients, strict=True):
                out[name][i] = 0.0 if g is None else g.double().square().sum().cpu()
    return out
