"""The loss of a batch in training, and KL(truth || model) on held-out sentences."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..errors import StoppedError
from ..estimate import Estimate
from ..generators.batches import EvaluationSet
from ..generators.named import takes_names
from ..generators.sentences import Batch
from ..models import LanguageModel
from ..models.ops.fast_linear import FastProducts
from .objectives import Objective, Sampled

EVALUATION_CHUNK = 1024
"""The approximate number of predictions in one forward pass of an evaluation."""


class MaskedLoss(nn.Module):
    """Model and objective in one module, which can be compiled or distributed as a whole.

    Args:
        model: makes the predictions.
        objective: the loss of the predictions; cross-entropy on sampled words unless given.
    """

    def __init__(self, model: LanguageModel, objective: Objective | None = None) -> None:
        super().__init__()
        self.model, self.objective = model, objective or Sampled()

    def forward(self, batch: Batch, truth: Tensor | None, count: float) -> Tensor:
        """Computes the loss of a batch.

        Args:
            batch: with m predictions.
            truth: the exact conditional of each prediction, [m, V]; None if the objective does not need it.
            count: divides the sum of the losses.

        Returns:
            The sum of the losses over the predictions, divided by count; a scalar with its graph.
        """
        logits = self.model.logits_at(batch.inputs, batch.rows, batch.positions)
        return self.objective.loss(logits, batch.targets, truth) / count


@takes_names
def masked_loss(model: LanguageModel, batch: Batch) -> Tensor:
    """Returns -mean_i log f(target_i | the visible words), a scalar with its graph, nats; 0 if nothing is hidden."""
    loss: Tensor = MaskedLoss(model)(batch, None, max(1, len(batch.targets)))
    return loss


@takes_names
def kl_to_truth(model: LanguageModel, evaluation: EvaluationSet) -> Estimate:
    """Returns E KL(p* || f) over the held-out set, nats; p* is the exact conditional at the same hidden positions.

    Example:
        The look-up table is the truth itself:

        >>> from satlab.generators import load_language
        >>> from satlab.generators.batches import evaluation_set
        >>> from satlab.models import build_model
        >>> language = load_language("demo-hmm")
        >>> found = kl_to_truth(build_model("lookup", language), evaluation_set(language, 100, seed=0, masking="one"))
        >>> abs(found.value) < 1e-12, found.n
        (True, 100)
    """
    return evaluation.batch.mean(divergences(model, evaluation))


@torch.no_grad()
def divergences(
    model: LanguageModel,
    evaluation: EvaluationSet,
    stops: Callable[[], bool] = lambda: False,
    excess: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> Tensor:
    """Computes KL at each prediction of a held-out set, in float64.

        KL(p* || f) = sum_v p*(v) (log p*(v) - log f(v)),    words with p*(v) = 0 contribute nothing

    Args:
        model: gives f.
        evaluation: m predictions with their exact truth p*.
        stops: called before each forward pass.
        excess: what is computed of (logits, truth) instead of KL; see `Objective.excess`.

    Returns:
        [m], nats.

    Raises:
        StoppedError: as soon as stops() is true.
    """
    model.eval()
    out = torch.zeros(len(evaluation), dtype=torch.float64, device=evaluation.truth.device)
    batch = evaluation.batch
    n = len(batch.inputs)
    chunk = min(EVALUATION_CHUNK, max(1, EVALUATION_CHUNK * n // max(1, len(evaluation))))
    for begin in range(0, n, chunk):
        if stops():
            raise StoppedError("stopped while KL was measured", "measure again")
        # A sentence is read once, however many of its words are predicted.
        some, which = batch.select(slice(begin, begin + chunk))
        with FastProducts():
            logits = model.logits_at(some.inputs, some.rows, some.positions)
        out[which] = (excess or _kl)(logits, evaluation.truth[which])
    return out


def _kl(logits: Tensor, truth: Tensor) -> Tensor:
    log_f = logits.double().log_softmax(1)
    cross = torch.where(truth > 0, truth * log_f, 0.0).sum(1)
    kl: Tensor = -torch.special.entr(truth).sum(1) - cross
    return kl
