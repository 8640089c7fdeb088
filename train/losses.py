"""What is minimised, and what is measured: cross-entropy on sampled words or on their truth, KL against the exact truth."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import StoppedError
from ..estimate import Estimate
from ..generators.batches import Batch, EvaluationSet
from ..models import MaskedLM
from ..models.ops.fast_linear import FastProducts
from .objectives import Objective, Sampled

EVALUATION_CHUNK = 1024
"""Predictions that one forward pass of an evaluation makes, about."""


class MaskedLoss(nn.Module):
    """The loss as a module, so that it can be compiled or spread over processes as one.

    forward(batch, truth, count): the objective's sum over the predictions of a batch, by count; nats. truth [m, V]: the
    exact conditional at the same places, where the objective needs it.
    """

    def __init__(self, model: MaskedLM, objective: Objective | None = None) -> None:
        super().__init__()
        self.model, self.objective = model, objective or Sampled()

    def forward(self, batch: Batch, truth: Tensor | None, count: int) -> Tensor:
        logits = self.model.logits_at(batch.inputs, batch.rows, batch.positions)
        return self.objective.loss(logits, batch.targets, truth) / count


def masked_loss(model: MaskedLM, batch: Batch) -> Tensor:
    """-mean_i log f(target_i | the visible words), nats, a scalar with its graph; 0 where the batch hides nothing."""
    loss: Tensor = MaskedLoss(model)(batch, None, max(1, len(batch.targets)))
    return loss


def kl_to_truth(model: MaskedLM, evaluation: EvaluationSet) -> Estimate:
    """E KL(p* || f) in nats over the held-out set, p* the exact conditional of the same hidden positions."""
    return evaluation.batch.mean(divergences(model, evaluation))


@torch.no_grad()
def divergences(model: MaskedLM, evaluation: EvaluationSet, stops: Callable[[], bool] = lambda: False) -> Tensor:
    """KL(p* || f) [m] at each prediction of the set, nats.

    KL = sum_v p*(v) (log p*(v) - log f(v)), float64; words of probability zero contribute nothing.
    Raises StoppedError as soon as stops() is true, which is asked before each forward pass.
    """
    model.eval()
    out = torch.zeros(len(evaluation), dtype=torch.float64, device=evaluation.truth.device)
    batch = evaluation.batch
    n = len(batch.inputs)
    chunk = min(EVALUATION_CHUNK, max(1, EVALUATION_CHUNK * n // max(1, len(evaluation))))
    for begin in range(0, n, chunk):
        if stops():
            raise StoppedError("stopped while KL was measured", "measure again")
        # A sentence is read once, however many of its words are asked for.
        some, which = batch.select(slice(begin, begin + chunk))
        with FastProducts():
            log_f = model.logits_at(some.inputs, some.rows, some.positions).double().log_softmax(1)
        truth = evaluation.truth[which]
        cross = torch.where(truth > 0, truth * log_f, 0.0).sum(1)
        out[which] = -torch.special.entr(truth).sum(1) - cross
    return out
