"""Products of vectors with the Hessian, the Gauss-Newton matrix or their difference, summed over contexts.

The loss is the sum over contexts of -log f(x_t | x_-t), or of -sum_v p*_v log f_v if the truth p* is given. With z the
logits and J their Jacobian, the products are:

    hessian        H v                                             by differentiating twice
    gauss-newton   J^T (diag f - f f^T) J v                        J v as the derivative of w -> J^T w along v
    residual       sum_v (f_v - p*_v) (d^2 z_v) v = H v - GGN v    (without the truth p* is 1 at x_t)

Several vectors [k, P] share the forward pass and the first derivative. The second derivative is vectorised over them.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..generators.sentences import Batch
from ..models import LanguageModel
from ..models.ops.fast_linear import FastProducts
from .ghost_norms.lstm import PlainLstm

Kind = Literal["hessian", "gauss-newton", "residual"]

TOGETHER = 2**21
"""The most numbers in the vectors that one pass multiplies: 80 vectors for a network of 26,000 weights."""


class Space:
    """The trainable parameters as one vector [P], in which tied weights occur once."""

    def __init__(self, model: LanguageModel) -> None:
        named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
        self.parameters = [parameter for _, parameter in named]
        self.blocks = [model.parameter_block(name) for name, _ in named]
        self.sizes = [parameter.numel() for parameter in self.parameters]
        self.device, self.dtype = self.parameters[0].device, self.parameters[0].dtype

    def __len__(self) -> int:
        return sum(self.sizes)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Splits a vector [..., P] into one tensor [..., shape of the parameter] for each parameter."""
        parts, several = torch.split(vector, self.sizes, -1), vector.shape[:-1]
        return [part.view(*several, *parameter.shape) for part, parameter in zip(parts, self.parameters, strict=True)]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Joins what `split` returns to a vector, [P] or [k, P]."""
        several = parts[0].dim() - self.parameters[0].dim()
        return torch.cat([part.flatten(several) for part in parts], -1)

    def by_block(self, vector: Tensor) -> dict[str, Tensor]:
        """The sums of a vector's entries [..., P] over each kind of parameter, [...] float64 on the CPU."""
        sums: dict[str, Tensor] = {}
        for block, part in zip(self.blocks, torch.split(vector, self.sizes, -1), strict=True):
            value = part.sum(-1, dtype=torch.float64).cpu()
            sums[block] = sums[block] + value if block in sums else value
        return sums

    def signs(self, generator: torch.Generator) -> Tensor:
        """Random signs [P], +1 and -1 with equal probability."""
        drawn = torch.randint(0, 2, (len(self),), generator=generator, device=self.device)
        return drawn.to(self.dtype) * 2 - 1

    def normal(self, generator: torch.Generator) -> Tensor:
        """Independent standard normal numbers [P]."""
        return torch.randn(len(self), generator=generator, device=self.device, dtype=self.dtype)

    @property
    def together(self) -> int:
        """The number of vectors that one pass multiplies."""
        return max(1, TOGETHER // len(self))


@contextmanager
def twice_differentiable(several: bool = False) -> Iterator[None]:
    """Replaces fused attention and fused LSTMs, which have no second derivative, by plain operations.

    Args:
        several: whether the derivative is vectorised over several vectors, which oneDNN's products do not support.

    Yields:
        None.
    """
    with ExitStack() as stack:
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(PlainLstm())
        if not several:
            stack.enter_context(FastProducts())
        stack.enter_context(torch.enable_grad())
        yield


def passes(model: LanguageModel, batch: Batch, truth: Tensor | None) -> Iterator[tuple[Batch, Tensor | None]]:
    """Splits the batch into the parts that one pass can read.

    Args:
        model: an LSTM reads only sentences of one length in a pass, without padding; other models read the whole batch.
        batch: the contexts.
        truth: p* [m, C] at the contexts, or None.

    Yields:
        A part and its truth.
    """
    lengths = (batch.inputs != model.pad_id).sum(1)
    if not any(isinstance(module, nn.LSTM) for module in model.modules()) or bool(
        (lengths == batch.inputs.shape[1]).all()
    ):
        yield batch, truth
        return
    for length in torch.unique(lengths).tolist():
        chosen = (lengths == length).nonzero()[:, 0]
        some, which = batch.select(chosen)
        if len(which):
            yield replace(some, inputs=some.inputs[:, :length]), None if truth is None else truth[which]


def summed_loss(logits: Tensor, batch: Batch, truth: Tensor | None) -> Tensor:
    """-sum log f(x_t | x_-t), or -sum sum_v p*_v log f_v with the truth p*, in nats."""
    goal = batch.targets if truth is None else truth.to(logits.dtype)
    return F.cross_entropy(logits, goal, reduction="sum")


def surplus(logits: Tensor, batch: Batch, truth: Tensor | None) -> Tensor:
    """sum sum_v (f_v - p*_v) z_v with f - p* held constant. Its Hessian is the residual."""
    aim = F.one_hot(batch.targets, logits.shape[1]) if truth is None else truth
    return ((logits.softmax(1) - aim.to(logits.dtype)).detach() * logits).sum()


def product(
    model: LanguageModel, space: Space, kind: Kind, batch: Batch, truth: Tensor | None, vector: Tensor
) -> Tensor:
    """The product of a matrix with one vector or with each of several.

    Args:
        model: in evaluation mode.
        space: its parameters.
        kind: "hessian", "gauss-newton" or "residual".
        batch: the contexts over which the matrix is summed.
        truth: p* [m, C] at the contexts, or None for the observed words.
        vector: [P] or [k, P].

    Returns:
        The product, with the shape of `vector`.
    """
    out = torch.zeros_like(vector)
    of_logits: dict[Kind, Callable[..., list[Tensor]]] = {
        "hessian": lambda *given: _second(summed_loss, *given),
        "residual": lambda *given: _second(surplus, *given),
        "gauss-newton": _gauss_newton,
    }
    with twice_differentiable(several=vector.dim() > 1):
        for part, its_truth in passes(model, batch, truth):
            logits = model.logits_at(part.inputs, part.rows, part.positions)
            out += space.join(of_logits[kind](space.parameters, space.split(vector), logits, part, its_truth))
    return out


def _second(
    scalar: Callable[[Tensor, Batch, Tensor | None], Tensor],
    parameters: list[Tensor],
    vector: list[Tensor],
    logits: Tensor,
    batch: Batch,
    truth: Tensor | None,
) -> list[Tensor]:
    """The Hessian of the scalar times the vector."""
    value = scalar(logits, batch, truth)
    first = torch.autograd.grad(value, parameters, create_graph=True, materialize_grads=True)
    curved = [(gradient, v) for gradient, v in zip(first, vector, strict=True) if gradient.requires_grad]
    if not curved:
        return [torch.zeros_like(v) for v in vector]
    gradients, along = zip(*curved, strict=True)
    return _pulled(gradients, parameters, along)


def _gauss_newton(
    parameters: list[Tensor], vector: list[Tensor], logits: Tensor, batch: Batch, truth: Tensor | None
) -> list[Tensor]:
    dummy = torch.zeros_like(logits, requires_grad=True)
    pulled = torch.autograd.grad(logits, parameters, dummy, create_graph=True, materialize_grads=True)
    curved = [(gradient, v) for gradient, v in zip(pulled, vector, strict=True) if gradient.requires_grad]
    gradients, along = zip(*curved, strict=True)
    (pushed,) = _pulled(gradients, [dummy], along, retain_graph=True)
    f = logits.detach().softmax(1)
    moved = f * (pushed - (f * pushed).sum(-1, keepdim=True))
    return _pulled([logits], parameters, [moved])


def _pulled(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], along: Sequence[Tensor], retain_graph: bool = False
) -> list[Tensor]:
    """sum along . d outputs / d inputs for each input. With `along` [k, ...], one such sum for each of the k rows."""
    several = along[0].shape[: along[0].dim() - outputs[0].dim()]
    found = torch.autograd.grad(
        outputs, inputs, along, retain_graph=retain_graph, allow_unused=True, is_grads_batched=bool(several)
    )
    return [
        one.new_zeros(*several, *one.shape) if gradient is None else gradient
        for one, gradient in zip(inputs, found, strict=True)
    ]


class Curvature:
    """The mean of a matrix over a fixed set of contexts, as an operator on vectors [P].

    Each product reads all contexts again.

    Args:
        model: the model, which is set to evaluation mode.
        kind: "hessian", "gauss-newton" or "residual".
        batch: the contexts.
        truth: p* [m, C] at the contexts, or None for the observed words.
        at_a_time: number of positions that one pass reads.
    """

    def __init__(self, model: LanguageModel, kind: Kind, batch: Batch, truth: Tensor | None, at_a_time: int) -> None:
        model.eval()
        self.model, self.kind, self.space = model, kind, Space(model)
        self.count = len(batch.rows)
        step = max(1, at_a_time // batch.inputs.shape[1])
        self.parts = []
        for begin in range(0, len(batch.inputs), step):
            part, which = batch.select(slice(begin, begin + step))
            if len(which):
                self.parts.append((part, None if truth is None else truth[which]))

    def __call__(self, vector: Tensor) -> Tensor:
        """The matrix times the vector [P], or times each of several [k, P], in the dtype of the model."""
        out = torch.zeros_like(vector)
        for _, found in self.products(vector):
            out += found
        return out / self.count

    def products(self, vector: Tensor) -> Iterator[tuple[int, Tensor]]:
        """For each part of the contexts: their number, and the product with the sum over them, [P] or [k, P]."""
        for part, truth in self.parts:
            yield len(part.rows), product(self.model, self.space, self.kind, part, truth, vector)

    def shares(self, vectors: Tensor) -> dict[str, Tensor]:
        """v_b . (A v)_b for each vector of [k, P], where A is the sum over one part: block -> [k, parts]."""
        chunks = []
        for some in torch.split(vectors, self.space.together):
            rows = [self.space.by_block(some * found) for _, found in self.products(some)]
            chunks.append({block: torch.stack([row[block] for row in rows], -1) for block in rows[0]})
        return {block: torch.cat([chunk[block] for chunk in chunks]) for block in chunks[0]}

    @property
    def counts(self) -> Tensor:
        """The number of contexts in each part, [parts] float64."""
        return torch.tensor([len(part.rows) for part, _ in self.parts], dtype=torch.float64)
