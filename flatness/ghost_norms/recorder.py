"""Records every use of a parameter in a forward pass, and computes gradients at these uses.

Parameters are detached, so a backward pass goes through the activations alone.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from ...models import LanguageModel
from ...models.interface import TiedHead
from ...models.ops.fast_linear import linear
from ..contexts import Contexts
from .lstm import Cell, run, unroll
from .norms import Entry, Lookup, Product, Rows, Scale, Shift, Use

EMBEDDING, OUTPUT_BIAS = "words.embedding.weight", "words.bias"
"""The names of the tied embedding and of the output's bias."""


class UnknownUseError(RuntimeError):
    """A parameter enters an operation for which this module has no formula."""


class Recorder(TorchFunctionMode):
    """While active, records in `uses` the operations on the model's parameters over m contexts."""

    def __init__(self, model: LanguageModel, contexts: int) -> None:
        super().__init__()
        self.contexts, self.uses = contexts, list[Use]()
        self.names = {id(parameter): name for name, parameter in model.named_parameters()}
        self.joined: dict[int, tuple[Tensor, list[tuple[str, int]]]] = {}
        self.rows: dict[int, tuple[Tensor, Rows]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = [*args, *kwargs.values()]
        flat = [x for item in given for x in (item if isinstance(item, (list, tuple)) else (item,))]
        if not any(id(x) in self.names or id(x) in self.joined for x in flat):
            return func(*args, **kwargs)
        if func in HANDLERS:
            return HANDLERS[func](self, *args, **kwargs)
        out = func(*args, **kwargs)
        if isinstance(out, Tensor) and out.requires_grad and id(out) not in self.names:
            raise UnknownUseError(str(func))
        return out

    def _parts(self, parameter: Tensor) -> list[tuple[str, int]]:
        """(name, number of rows) of the parameter, or of each parameter that was concatenated to this tensor."""
        if id(parameter) in self.joined:
            return self.joined[id(parameter)][1]
        if id(parameter) not in self.names:
            raise UnknownUseError("a parameter beside what is none")
        return [(self.names[id(parameter)], len(parameter))]

    def _linear(self, a: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        z = linear(a, weight.detach(), None if bias is None else bias.detach())
        rows = self._rows(a)
        begin = 0
        for name, size in self._parts(weight):
            self._record(Product(name, z, begin, begin + size, rows))
            begin += size
        if bias is not None:
            self._shift(bias, z)
        return z

    def _shift(self, bias: Tensor, z: Tensor) -> None:
        begin = 0
        for name, size in self._parts(bias):
            self._record(Shift(name, z, begin, begin + size))
            begin += size

    def _rows(self, a: Tensor) -> Rows:
        if id(a) not in self.rows:
            values = a.detach()
            self.rows[id(a)] = (a, Rows(values.flatten(1, -2) if a.dim() > 2 else values[:, None]))
        return self.rows[id(a)][1]

    def _layer_norm(
        self, x: Tensor, shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
    ) -> Tensor:
        if weight is None or bias is None:
            raise UnknownUseError("a norm without weight or bias")
        z = F.layer_norm(x, shape, weight.detach(), bias.detach(), eps)
        (name, _), *_ = self._parts(weight)
        self._record(Scale(name, z, rows=self._rows(F.layer_norm(x.detach(), shape, None, None, eps))))
        self._shift(bias, z)
        return z

    def _embedding(self, tokens: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor:
        z = F.embedding(tokens, weight.detach()).requires_grad_()
        self._record(Lookup(self._parts(weight)[0][0], z, tokens=tokens))
        return z

    def _cat(self, tensors: Any, dim: int = 0) -> Tensor:
        if dim or any(id(tensor) not in self.names for tensor in tensors):
            raise UnknownUseError("torch.cat")
        out = torch.cat([tensor.detach() for tensor in tensors])
        self.joined[id(out)] = (out, [part for tensor in tensors for part in self._parts(tensor)])
        return out

    def _entry(self, parameter: Tensor, index: Any) -> Tensor:
        if not isinstance(index, slice) or id(parameter) not in self.names:
            raise UnknownUseError("indexing")
        entry = parameter.detach()[index]
        z = entry.expand(self.contexts, *entry.shape).clone().requires_grad_()
        self._record(Entry(self.names[id(parameter)], z))
        return z

    def _lstm(self, x: Tensor, *given: Any) -> tuple[Tensor, Tensor, Tensor]:
        if len(given) != 8 or not given[7]:
            raise UnknownUseError("an LSTM over packed sentences")
        _, weights, _, layers, _, _, both, _ = given
        return unroll(x, weights, layers, both, self._direction), x, x

    def _direction(self, cell: Cell, x: Tensor, backwards: bool) -> Tensor:
        done = run(Cell(*(parameter.detach() for parameter in cell)), x, backwards)
        for weight, bias, rows in (
            (cell.w_ih, cell.b_ih, self._rows(x)),
            (cell.w_hh, cell.b_hh, Rows(done.previous.detach())),
        ):
            self._record(Product(self.names[id(weight)], done.gates, rows=rows))
            self._shift(bias, done.gates)
        return done.states

    def _record(self, use: Use) -> None:
        if use.z.shape[0] != self.contexts or any(use.name == known.name for known in self.uses):
            raise UnknownUseError(f"{use.name}, twice or with other contexts mixed in")
        self.uses.append(use)


HANDLERS: dict[Any, Callable[..., Any]] = {
    F.linear: Recorder._linear,
    F.layer_norm: Recorder._layer_norm,
    F.embedding: Recorder._embedding,
    torch.lstm: Recorder._lstm,
    torch.cat: Recorder._cat,
    Tensor.__getitem__: Recorder._entry,
}
"""Operation on a parameter -> its recording replacement."""


class Recorded:
    """The features [m, d] of contexts of one length, with the graph back to all uses of parameters before the head."""

    def __init__(self, model: LanguageModel, contexts: Contexts) -> None:
        rows = torch.arange(len(contexts), device=contexts.inputs.device)
        with torch.enable_grad(), Recorder(model, len(contexts)) as recorder:
            self.graph = model.features_at(contexts.inputs, rows, contexts.positions)
        self.features, self.inputs = self.graph.detach(), contexts.inputs
        trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        self.uses = [use for use in recorder.uses if use.name in trainable]
        read = [use for use in recorder.uses if use.name == EMBEDDING]
        if not read:
            raise UnknownUseError("words that are not looked up")
        self.read = read[0]
        self.outputs = list({id(use.z): use.z for use in [*self.uses, self.read]}.values())

    def pull(self, covector: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """J^T c for a covector c at the features, with J the Jacobian of the features.

        Args:
            covector: c, [m, d].

        Returns:
            The squared norm [m] for each parameter before the head, and the gradient [m, T, d] at the embedding of
            each position. The norm of the tied embedding covers only its use for reading words.
        """
        found = torch.autograd.grad(self.graph, self.outputs, covector, retain_graph=True)
        gradients = {id(z): gradient for z, gradient in zip(self.outputs, found, strict=True)}
        return {use.name: use.squares(gradients[id(use.z)]) for use in self.uses}, gradients[id(self.read.z)]


TRIED_SENTENCES, TRIED_WORDS = 2, 3
"""The size of the trial pass. The two numbers differ, so that no axis is mistaken for another."""


def can_record(model: LanguageModel) -> bool:
    """Whether a Recorder knows every use of a parameter in the model, found by a trial pass over a few words.

    Use `fallback` for other models.

    Args:
        model: the model.

    Returns:
        False if the head is not tied to the embedding, or if a parameter before the head has an unknown use.
    """
    if not isinstance(getattr(model, "words", None), TiedHead):
        return False
    device = next(model.parameters()).device
    tokens = torch.zeros(TRIED_SENTENCES, min(TRIED_WORDS, model.max_length), dtype=torch.long, device=device)
    rows = torch.arange(TRIED_SENTENCES, device=device)
    try:
        Recorded(model, Contexts(rows, tokens, torch.zeros_like(rows)))
    except UnknownUseError:
        return False
    return True
