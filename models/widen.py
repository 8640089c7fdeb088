"""Embeds a model into a larger network that computes the same function: r times as wide, with layers added on top.

The construction is that of Liu et al. 2022, B.4.

Width. A vector of k d features becomes k groups, each of which contains its d features r times in a row. Weights that
read such a vector are divided by r. LayerNorm sees the same mean and variance. The tied embedding is repeated too,
which alone would give <h', e'> = r <h, e>. Therefore the last affine map before it (the final LayerNorm, or the last
linear map) gives h' = h / r. It acts after the variance is computed, so LayerNorm's eps has no effect. If the
initialisation is width-aware, with multipliers s and s' of the two outputs, the map's factor is s / (s' r) instead.

Heads. If heads keep their width, there are r times as many. A model with a single head may grow into heads of another
width size' > size. Each of them has c = floor(size' / size) copies of the queries and keys, and zeros in the rest. The
queries are multiplied by sqrt(size') / (c sqrt(size)), which undoes the sum over copies and the other softmax scale.

Depth. An added block has output zero, so a pre-LN residual stream passes through it. With added = "zero", the paper's
"fill in zeros to the added parameters", all parameters of the block are zero, including LayerNorm's weights. Then only
its outgoing biases (of attention out and MLP down, or of the LSTM's join) have a gradient, now and after any training.
With "initial", the block is that of a new model, except that its outgoing weights are zero. These have a gradient, so
the block can learn, and they add to the trace.

The Gauss-Newton trace E J^T (diag f - f f^T) J changes by these factors (tested against full Jacobians) if the
multiplier of the output stays the same:

    factor     of which parameters
    1          linear and LSTM weights; the output's bias, one number per word
    1/r        embedding (both uses together), positions, biases, LayerNorm
    r          the final LayerNorm, or the transform's: weight and bias; the plain LSTM's join: bias
    r^2        the plain LSTM's join: weight
    c          query weights if size' = c size; c/r for query biases
    1/r        outgoing biases of an added block, relative to the small model's last one; with "zero" the rest have 0

The embedding's factor is a property of this construction, not of the function: stored as e / r, its factor would be r.
"""

import math

import torch
from torch import Tensor

from ..errors import InputError, unknown
from ..randomness import random_stream
from .build import dropout_of, make_model
from .interface import LanguageModel
from .ladder import nearest
from .names import name_of, network_of, parse_name
from .networks.base import SizedNetwork, networks
from .networks.transformer import HEAD_SIZE, Attention, TransformerNetwork

ADDED = ("zero", "initial")

OUTGOING = ("attention.out.weight", "down.weight", "join.weight")


def widen(model: LanguageModel, name: str, added: str = "zero", seed: int = 0) -> LanguageModel:
    """A larger model of the same function: without dropout, its logits are the same up to rounding.

    Its features are those of the smaller model, repeated r times and divided by r.

    Args:
        model: the smaller model, which is not changed.
        name: the name of the larger model, such as bert-6x256 for a bert-2x64.
        added: how added blocks are filled, "zero" or "initial".
        seed: the seed whose stream "init" fills "initial" blocks.

    Returns:
        The larger model, in evaluation mode, with the dtype and device of the smaller one.

    Raises:
        InputError: for an unknown filling, and for a model that is not a possible enlargement; see `check_larger`.
    """
    if added not in ADDED:
        error = unknown("filling of added layers", added, ADDED)
        raise error
    check_larger(model.name, name)
    wide = make_model(name, model.vocab_size, model.max_length, dropout_of(model))
    if added == "initial":
        network_of(name).initialise(wide, random_stream(seed, "init"))
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
            wide.get_parameter(path).div_(r * _output_scale(name) / _output_scale(model.name))
    return wide


def check_larger(small: str, large: str) -> None:
    """Checks that a model can be enlarged to another one.

    Args:
        small: the name of the smaller model.
        large: the name of the larger model.

    Raises:
        InputError: for an invalid name, models of different kinds or of a kind that cannot be enlarged, fewer layers,
            layers that cannot be added, a width that is not a multiple, and heads that do not fit. The message suggests
            the nearest size that works.
    """
    before, after = network_of(small), parse_name(large)
    if not isinstance(before, SizedNetwork):
        raise InputError(f"model '{small}' has no size, expected a network such as bert-2x64; choose one")
    kind = networks.name_of(before)
    if not after.size:
        raise InputError(f"model '{large}' has no size, expected {kind}-LAYERSxWIDTH, larger than {small}; choose one")
    if not before.widens:
        raise InputError(
            f"model '{small}': a {kind} cannot be enlarged, expected a network such as bert-2x64; choose one"
        )
    layers, width = after.size["layers"], after.size["width"]
    if after.kind != kind:
        reason: str | None = f"{after.kind} is another kind of model"
    else:
        reason = _misfit(before, layers, width)
        transformer = isinstance(before, TransformerNetwork) and after.settings.get("heads") is None
        if reason is None and transformer and width > HEAD_SIZE and width % HEAD_SIZE:
            reason = f"width {width} is not a multiple of the head size {HEAD_SIZE}"
        if reason is None:
            network = after.network()
            reason = _misfit_of_heads(before, network) if isinstance(network, SizedNetwork) else None
    if reason is not None:
        near = ", or of the published sizes ".join(_nearest(before, layers, width))
        raise InputError(f"'{small}' cannot be enlarged to '{large}': {reason}; nearest that works: {near}")


def _misfit(before: SizedNetwork, layers: int, width: int) -> str | None:
    """Why the network does not fit into layers x width; None if it fits."""
    if layers < before.layers:
        return f"{before.layers} layers do not fit into {layers}"
    if width < before.width:
        return f"width {width} is narrower than {before.width}"
    if layers > before.layers and not before.deepens:
        return f"a layer added to a model of kind {networks.name_of(before)} cannot leave its input unchanged"
    if width % before.width:
        return f"width {width} is not a multiple of {before.width}"
    return None


def _misfit_of_heads(before: SizedNetwork, after: SizedNetwork) -> str | None:
    """Why the heads of one network do not fit into those of another; None if they fit or there are none."""
    if not isinstance(before, TransformerNetwork) or not isinstance(after, TransformerNetwork):
        return None
    size, wider = (network.width // network.number_of_heads for network in (before, after))
    if wider == size or (wider > size and before.number_of_heads == 1):
        return None
    one = before.number_of_heads == 1
    heads = f"1 head {size} wide does" if one else f"{before.number_of_heads} heads {size} wide do"
    return f"{heads} not fit into {after.number_of_heads} heads {wider} wide"


def _nearest(before: SizedNetwork, layers: int, width: int) -> list[str]:
    """The names of the nearest larger size that works and, if it differs, of the nearest row of the ladder."""
    L, d = before.layers, before.width

    def fits(layers: int, width: int) -> bool:
        if (layers, width) == (L, d) or _misfit(before, layers, width) is not None:
            return False
        try:
            return _misfit_of_heads(before, before.resized(layers, width)) is None
        except InputError:
            return False

    layers = max(layers, L) if before.deepens else L
    # Of HEAD_SIZE consecutive multiples, at least one fits.
    about = width // d
    widths = (r * d for r in range(max(1, about - HEAD_SIZE), about + HEAD_SIZE + 1) if fits(layers, r * d))
    size = name_of(before.resized(layers, min(widths, key=lambda w: abs(w - width))))
    row = nearest(networks.name_of(before), layers, width, fits)
    published = size if row is None else name_of(before.resized(row.layers, row.width))
    return [size] if published == size else [size, published]


def _output_scale(name: str) -> float:
    """The output multiplier of the model with this name."""
    network = network_of(name)
    return network.output_scale if isinstance(network, TransformerNetwork) else 1.0


def _repeat(x: Tensor, dim: int, d: int, r: int) -> Tensor:
    """Turns k d entries along dim into k groups, each of which contains its d entries r times: k r d."""
    shape = x.shape
    groups = x.reshape(*shape[:dim], -1, 1, d, *shape[dim + 1 :]).repeat_interleave(r, dim + 1)
    return groups.reshape(*shape[:dim], -1, *shape[dim + 1 :])


def _repeated(model: LanguageModel, path: str, parameter: Tensor, r: int) -> Tensor:
    """The wide model's parameter: features repeated r times, and weights that read features divided by r."""
    d = model.feature_size
    if model.parameter_block(path) in ("embedding", "position"):
        return _repeat(parameter, 1, d, r)
    if path == "words.bias":
        return parameter
    rows = _repeat(parameter, 0, d, r)
    return _repeat(rows, 1, d, r) / r if rows.dim() == 2 else rows


def _fit_heads(model: LanguageModel, wide: LanguageModel) -> None:
    """Fills queries and keys of the wide model if a single narrower head grows into its heads."""
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


def _last(model: LanguageModel) -> tuple[str, str]:
    """The names of the weight and bias of the last affine map before the tied embedding."""
    names = {name for name, _ in model.named_parameters()}
    last = next(part for part in ("transform.norm", "norm", "join") if f"{part}.weight" in names)
    return f"{last}.weight", f"{last}.bias"
