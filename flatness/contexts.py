"""Groups contexts by length, so that no forward pass reads padding."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ..generators.sentences import Batch
from ..models import LanguageModel
from ..models.ops.fast_linear import FastProducts

ACTIVATIONS = 2**18
"""The most numbers in one layer's output during a pass over several contexts: 2,048 positions at width 128."""


@dataclass(frozen=True)
class Contexts:
    """m contexts of one length T.

    Args:
        index: [m], the index of each context in the batch.
        inputs: [m, T], the tokens that the model reads.
        positions: [m], the predicted positions.
    """

    index: Tensor
    inputs: Tensor
    positions: Tensor

    def __len__(self) -> int:
        return len(self.positions)


def groups(model: LanguageModel, batch: Batch, most: int | None = None) -> Iterator[Contexts]:
    """All contexts of a batch, each once, grouped by length.

    Args:
        model: for a causal model, a context ends at the position from which the model predicts.
        batch: the contexts.
        most: the largest number of contexts in a group, at most what ACTIVATIONS allows; by default that.

    Yields:
        The groups.
    """
    whole = (batch.inputs != model.pad_id).sum(1)[batch.rows]
    lengths = batch.positions + 1 if model.causal else whole
    for length in torch.unique(lengths).tolist():
        index = (lengths == length).nonzero()[:, 0]
        size = positions_at_a_time(model) // length or 1
        for part in torch.split(index, size if most is None else min(size, most)):
            yield Contexts(part, batch.inputs[batch.rows[part], :length], batch.positions[part])


def positions_at_a_time(model: LanguageModel) -> int:
    """The most positions that one pass reads."""
    return ACTIVATIONS // model.feature_size or 1


@torch.no_grad()
def probabilities(model: LanguageModel, batch: Batch) -> Tensor:
    """f(. | x_-t) at all contexts, [m, C] float64, where C is the number of classes."""
    parts = torch.split(torch.arange(len(batch.rows), device=batch.rows.device), 1024)
    with FastProducts():
        logits = [
            model.logits_at(batch.inputs[batch.rows[i]], torch.arange(len(i), device=i.device), batch.positions[i])
            for i in parts
        ]
    return torch.cat(logits).double().softmax(1)
