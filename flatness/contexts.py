"""Contexts taken together: those of one length, without padding, so that no pass reads a word that is not there."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..generators.batches import Batch
from ..models import MaskedLM
from ..models.ops.fast_linear import FastProducts

ACTIVATIONS = 2**18
"""Numbers of one layer's output that a pass over several contexts holds: 2,048 positions at width 128."""


@dataclass(frozen=True)
class Contexts:
    """m contexts of one length T. index [m]: which of the batch they are; inputs [m, T]; positions [m] asked for."""

    index: Tensor
    inputs: Tensor
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)


def groups(model: MaskedLM, batch: Batch, most: int | None = None) -> Iterator[Contexts]:
    """All contexts of the batch, each once, at most so many together. A causal model's end at the position asked for."""
    whole = (batch.inputs != model.pad_id).sum(1)[batch.rows]
    lengths = batch.positions + 1 if model.causal else whole
    for length in lengths.unique().tolist():
        index = (lengths == length).nonzero()[:, 0]
        size = positions_at_a_time(model) // length or 1
        for part in index.split(size if most is None else min(size, most)):
            yield Contexts(part, batch.inputs[batch.rows[part], :length], batch.positions[part])


def positions_at_a_time(model: MaskedLM) -> int:
    """How many positions a pass reads."""
    return ACTIVATIONS // model.feature_size or 1


@torch.no_grad()
def probabilities(model: MaskedLM, batch: Batch) -> Tensor:
    """f(. | x_-t) [m, C] float64, C the model's classes."""
    parts = torch.arange(len(batch.rows), device=batch.rows.device).split(1024)
    with FastProducts():
        logits = [
            model.logits_at(batch.inputs[batch.rows[i]], torch.arange(len(i), device=i.device), batch.positions[i])
            for i in parts
        ]
    return torch.cat(logits).double().softmax(1)
