"""What is minimised, and what is measured: cross-entropy on sampled words, KL against the exact truth."""

import torch
from torch import Tensor
from torch.nn import functional as F

from ..estimate import Estimate
from ..generators.stream import Batch, EvaluationSet
from ..models import MaskedLM

EVALUATION_CHUNK = 1024
"""Sentences that one forward pass of an evaluation holds."""


def masked_loss(model: MaskedLM, batch: Batch) -> Tensor:
    """-mean_i log f(target_i | the visible words), nats, a scalar with its graph; 0 where the batch hides nothing."""
    logits = model.logits_at(batch.inputs, batch.rows, batch.positions)
    return F.cross_entropy(logits, batch.targets, reduction="sum") / max(1, len(batch.targets))


@torch.no_grad()
def kl_to_truth(model: MaskedLM, evaluation: EvaluationSet) -> Estimate:
    """E KL(p* || f) in nats over the held-out set, p* the exact conditional of the same hidden positions.

    KL = sum_v p*(v) (log p*(v) - log f(v)), float64; words of probability zero contribute nothing.
    """
    model.eval()
    divergences = torch.zeros(len(evaluation), dtype=torch.float64, device=evaluation.truth.device)
    batch = evaluation.batch
    for part in torch.arange(len(evaluation), device=batch.rows.device).split(EVALUATION_CHUNK):
        inputs = batch.inputs[batch.rows[part]]
        rows = torch.arange(len(part), device=inputs.device)
        log_f = model.logits_at(inputs, rows, batch.positions[part]).double().log_softmax(1)
        truth = evaluation.truth[part]
        cross = torch.where(truth > 0, truth * log_f, 0.0).sum(1)
        divergences[part] = -torch.special.entr(truth).sum(1) - cross
    return batch.mean(divergences)
