"""The same function in a larger network (Liu et al. 2022, B.4): a model r times as wide, with layers added on top.

Width. Every vector of k d features becomes k groups of d, each repeated r times in a row; weights that read it are
divided by r. A head of 64 stays one, there are r times as many. LayerNorm sees the same mean and variance. The tied
embedding is repeated too, so that <h', e'> would be r <h, e>: the last affine map before it (the final LayerNorm, or
whatever is last) gives h' = h / r instead, after the variance is taken, so that LayerNorm's eps changes nothing. A
model narrower than 64 has one head of its own width; in the wider one each head has c = floor(size' / size) copies of
its queries and keys, zeros in what remains, and the queries are multiplied by sqrt(size') / (c sqrt(size)), which
undoes the sum over copies and the other softmax scale.

Depth. An added block answers zero, which a pre-LN residual stream passes on. added = "zero", the paper's "fill in
zeros to the added parameters": all of them, LayerNorm's weights too. Of such a block nothing but the outgoing biases
(attention out and MLP down, or the LSTM's join) has a gradient, now and after any training. "initial": as in a new
model, but the outgoing weights zero: these have a gradient then, so that the block can learn, and the trace grows by
it.

What becomes of the Gauss-Newton trace E J^T (diag f - f f^T) J (tested against whole Jacobians), by parameter:

    factor     of which parameters
    1          linear and LSTM weights; the output's bias, one number a word
    1/r        embedding (both uses together), positions, biases, LayerNorm
    r          the final LayerNorm, or the transform's: weight and bias; the plain LSTM's join: bias
    r^2        the plain LSTM's join: weight
    c          query weights where size' = c size; c/r of query biases
    1/r        outgoing biases of an added block, of what the small model's last one has; all else in it 0 with "zero"

The embedding's factor belongs to this construction, not to the function: stored as e / r it would be r.
"""

import math

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..randomness import random_stream
from .build import HEAD_SIZE, NAME, dropout_of, initialise, make_model, size_of
from .interface import MaskedLM
from .ladder import RECURRENT, nearest
from .networks.transformer import Attention

ADDED = ("zero", "initial")

WIDTH_ONLY = ("bert-post", "lstm")
"""Kinds without a residual stream that passes an added layer by."""

OUTGOING = ("attention.out.weight", "down.weight", "join.weight")


def widen(model: MaskedLM, name: str, added: str = "zero", seed: int = 0) -> MaskedLM:
    """The model as one called `name`, e.g. bert-2x64 as bert-6x256: the same logits up to rounding, without dropout.

    Its features are the model's, repeated and divided by r.
    added: what added blocks are filled with, "zero" or "initial" (drawn from the seed's stream "init").
    Raises InputError, with the nearest size that works, where width is no multiple, or layers fewer or not to be added.
    """
    if added not in ADDED:
        raise unknown("filling of added layers", added, ADDED)
    check_larger(model.name, name)
    wide = make_model(name, model.vocab_size, model.max_length, dropout_of(model))
    if added == "initial":
        initialise(wide, random_stream(seed, "init"))
    some, r = next(model.parameters()), wide.feature_size // model.feature_size
    wide = wide.to(some.device, some.dtype).eval()
    with torch.no_grad():
        for path, parameter in wide.named_parameters():
            if added == "zero" or path.endswith(OUTGOING):
                parameter.zero_()
        for path, parameter in model.named_parameters():
            wide.get_parameter(path).copy_(_repeated(model, path, parameter, r))
        _fit_heads(model, wide)
        for path in _last(model):
            wide.get_parameter(path).div_(r)
    return wide


def check_larger(small: str, large: str) -> None:
    """Raises InputError unless a model called `small` can be enlarged to one called `large`."""
    before, after = NAME.fullmatch(small), NAME.fullmatch(large)
    if before is None:
        raise InputError(f"model '{small}' has no size, expected a network such as bert-2x64; widen one of these")
    if after is None:
        if large != "lookup":
            size_of(large)
        raise InputError(f"model '{large}' has no size, expected {before['kind']}-LAYERSxWIDTH, larger than {small}")
    kind, L, d = before["kind"], int(before["layers"]), int(before["width"])
    layers, width = int(after["layers"]), int(after["width"])
    reason = (
        f"{after['kind']} is another kind of model" if after["kind"] != kind else _reason(kind, L, d, layers, width)
    )
    if reason is not None:
        near = ", or of the published sizes ".join(_nearest(kind, L, d, layers, width))
        raise InputError(f"'{small}' cannot be enlarged to '{large}': {reason}; nearest that works: {near}")


def _reason(kind: str, L: int, d: int, layers: int, width: int) -> str | None:
    """Why L x d does not fit into layers x width; None where it does."""
    if layers < L:
        return f"{L} layers do not fit into {layers}"
    if width < d:
        return f"width {width} is narrower than {d}"
    if layers > L and kind in WIDTH_ONLY:
        return f"no layer added to a model of kind {kind} can leave its input as it is"
    if width % d:
        return f"width {width} is no multiple of {d}"
    if kind not in RECURRENT and width > HEAD_SIZE and width % HEAD_SIZE:
        return f"heads are {HEAD_SIZE} wide, and width {width} is no multiple"
    return None


def _nearest(kind: str, L: int, d: int, layers: int, width: int) -> list[str]:
    """The nearest layers x width that is larger than L x d and can hold it, and the nearest row of the ladder."""

    def fits(layers: int, width: int) -> bool:
        return (layers, width) != (L, d) and _reason(kind, L, d, layers, width) is None

    layers = L if kind in WIDTH_ONLY else max(layers, L)
    # One of HEAD_SIZE multiples in a row always fits.
    about = width // d
    widths = (r * d for r in range(max(1, about - HEAD_SIZE), about + HEAD_SIZE + 1) if fits(layers, r * d))
    size = f"{kind}-{layers}x{min(widths, key=lambda w: abs(w - width))}"
    row = nearest(kind, layers, width, fits)
    return [size] if row is None or row.name == size else [size, row.name]


def _repeat(x: Tensor, dim: int, d: int, r: int) -> Tensor:
    """k d entries along dim -> k groups of d, each repeated r times: k r d."""
    shape = x.shape
    groups = x.reshape(*shape[:dim], -1, 1, d, *shape[dim + 1 :]).repeat_interleave(r, dim + 1)
    return groups.reshape(*shape[:dim], -1, *shape[dim + 1 :])


def _repeated(model: MaskedLM, path: str, parameter: Tensor, r: int) -> Tensor:
    """The parameter with all its features repeated r times; weights that read them are divided by r."""
    d = model.feature_size
    if model.parameter_block(path) in ("embedding", "position"):
        return _repeat(parameter, 1, d, r)
    if path == "words.bias":
        return parameter
    rows = _repeat(parameter, 0, d, r)
    return _repeat(rows, 1, d, r) / r if rows.dim() == 2 else rows


def _fit_heads(model: MaskedLM, wide: MaskedLM) -> None:
    """Queries and keys of a model whose one head is narrower than those of the wide model; see above."""
    d, r = model.feature_size, wide.feature_size // model.feature_size
    for path, small in model.named_modules():
        large = wide.get_submodule(path)
        if not isinstance(small, Attention) or not isinstance(large, Attention):
            continue
        size = r * d // large.heads
        if size == d // small.heads:
            continue
        copies, place = size // d, torch.arange(size, device=small.query.weight.device)
        scales = ((small.query, large.query, math.sqrt(size / d) / copies), (small.key, large.key, 1.0))
        for before, after, scale in scales:
            keep = scale * (place < copies * d).to(before.weight.dtype)
            rows = _repeat(before.weight, 1, d, r)[place % d] / r
            after.weight.copy_((keep[:, None] * rows).repeat(large.heads, 1))
            after.bias.copy_((keep * before.bias[place % d]).repeat(large.heads))


def _last(model: MaskedLM) -> tuple[str, str]:
    """Weight and bias of the affine map whose output meets the tied embedding."""
    names = {name for name, _ in model.named_parameters()}
    last = next(part for part in ("transform.norm", "norm", "join") if f"{part}.weight" in names)
    return f"{last}.weight", f"{last}.bias"
