"""The LSTM step by step in plain operations, because nn.LSTM has no second derivative and does not expose its gates.

    i, f, g, o = W_ih x_t + b_ih + W_hh h_(t-1) + b_hh,    c_t = s(f) c_(t-1) + s(i) tanh(g),    h_t = s(o) tanh(c_t)

with s the logistic function and h_(-1) = c_(-1) = 0 (Hochreiter & Schmidhuber 1997, with a forget gate).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


class Cell(NamedTuple):
    """The parameters of one direction of one layer."""

    w_ih: Tensor
    w_hh: Tensor
    b_ih: Tensor
    b_hh: Tensor


class Pass(NamedTuple):
    """The result of one direction: states h [m, T, d], gates W_ih x + b_ih [m, T, 4d], and h_(t-1) [m, T, d]."""

    states: Tensor
    gates: Tensor
    previous: Tensor


def run(cell: Cell, x: Tensor, backwards: bool) -> Pass:
    """Runs one direction over x [m, T, d]."""
    gates = F.linear(x, cell.w_ih, cell.b_ih)
    h = c = x.new_zeros(x.shape[0], cell.w_hh.shape[1])
    steps = range(x.shape[1] - 1, -1, -1) if backwards else range(x.shape[1])
    states, previous = [h] * x.shape[1], [h] * x.shape[1]
    for t in steps:
        previous[t] = h
        i, f, g, o = (gates[:, t] + F.linear(h, cell.w_hh, cell.b_hh)).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states[t] = h
    return Pass(torch.stack(states, 1), gates, torch.stack(previous, 1))


def unroll(x: Tensor, weights: Sequence[Tensor], layers: int, both: bool, direction: Callable[..., Tensor]) -> Tensor:
    """Runs all layers over x [m, T, d]. `weights` are as in nn.LSTM; direction(cell, x, backwards) returns states."""
    cells = [Cell(*weights[i : i + 4]) for i in range(0, len(weights), 4)]
    directions = 2 if both else 1
    for layer in range(layers):
        here = cells[layer * directions : (layer + 1) * directions]
        x = torch.cat([direction(cell, x, bool(k)) for k, cell in enumerate(here)], 2)
    return x


class PlainLstm(TorchFunctionMode):
    """While active, runs nn.LSTM step by step. Expects batch-first input of one length and zero initial states."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func != torch.lstm:
            return func(*args, **(kwargs or {}))
        x, _, weights, _, layers, _, _, both, _ = args
        return unroll(x, weights, layers, both, lambda *given: run(*given).states), x, x
