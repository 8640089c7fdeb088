"""LSTMs under bfloat16 on a CPU: torch computes them with oneDNN, which fails if the processor lacks AVX-512.

On such a processor, torch's own operations compute the LSTM in float32.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn


@cache
def onednn_has_bf16_lstm() -> bool:
    """Whether an LSTM runs under bfloat16 autocast on this CPU. This is tried once, on two numbers."""
    with torch.random.fork_rng(devices=[]), torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        try:
            nn.LSTM(2, 2, batch_first=True)(torch.zeros(1, 2, 2))
        except RuntimeError:
            return False
    return True


def needs_plain_lstm(model: nn.Module, precision: str, device: str) -> bool:
    """Whether the model has LSTMs that oneDNN cannot compute in this precision on this CPU."""
    recurrent = precision == "bf16" and device == "cpu" and any(isinstance(part, nn.LSTM) for part in model.modules())
    return recurrent and not onednn_has_bf16_lstm()


@contextmanager
def plain_lstm() -> Iterator[None]:
    """Turns oneDNN off during the block."""
    with warnings.catch_warnings():
        # torch warns about TF32 on Intel's GPUs whenever oneDNN is turned on or off.
        warnings.simplefilter("ignore")
        switched = torch.backends.mkldnn.flags(enabled=False)
        switched.__enter__()
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            switched.__exit__(None, None, None)
