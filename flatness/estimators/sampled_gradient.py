"""Tr(H) by sampling words from the model (Liu et al. 2022, B.1).

    E_{x,t} E_{v ~ f(.|x_-t)} || grad_theta log f_theta(v | x_-t) ||^2

This is exactly the trace of the Gauss-Newton matrix E J^T (diag f - f f^T) J, with J the Jacobian of the logits. It
equals Tr(H) if f is the truth (Bartlett's identity). Otherwise the two differ by a residual that vanishes with f - p*.
One backward pass through the activations of many contexts gives their norms, usually without forming a gradient (see
ghost_norms/norms.py).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...generators.sentences import Batch
from ...models import LanguageModel
from ..contexts import groups, probabilities
from ..ghost_norms import fallback as gradients
from ..ghost_norms.recorder import Recorded, can_record
from ..ghost_norms.tied_head import Head, add
from ..measure import TraceMeasure, at_least, flatness_measures
from ..trace_terms import Given, Terms, by_block


def block_traces(model: LanguageModel, batch: Batch, draws: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The mean over draws of || grad log f(v) ||^2 in each context, by kind of parameter: name -> [m] float64."""
    model.eval()
    words = draw_words(model, batch, draws, generator)
    squares = recorded_squares if can_record(model) else gradients.squares
    return by_block(model, {name: values.mean(1) for name, values in squares(model, batch, words).items()})


def draw_words(model: LanguageModel, batch: Batch, draws: int, generator: torch.Generator) -> Tensor:
    """Words v ~ f(. | x_-t), [m, draws]."""
    return torch.multinomial(probabilities(model, batch), draws, replacement=True, generator=generator)


def recorded_squares(model: LanguageModel, batch: Batch, words: Tensor) -> dict[str, Tensor]:
    """|| grad log f(words[i, k] | context i) ||^2 for words [m, K], by parameter: name -> [m, K] float64."""
    out: dict[str, Tensor] = {}
    for contexts in groups(model, batch):
        recorded = Recorded(model, contexts)
        head = Head(model, recorded)
        for k, word in enumerate(words[contexts.index].unbind(1)):
            covector = (-head.f).scatter_add(1, word[:, None], torch.ones_like(head.f[:, :1]))
            squares, read = recorded.pull(covector @ head.weight)
            crossed = head.crossed(covector.gather(1, head.classes_read), read)
            for name, values in add(squares, head.squares(covector), crossed).items():
                out.setdefault(name, torch.zeros(words.shape, dtype=torch.float64))[contexts.index.cpu(), k] = (
                    values.cpu()
                )
    return out


@flatness_measures.register("sampled-gradient")
@dataclass(frozen=True)
class SampledGradient(TraceMeasure):
    """The Gauss-Newton trace by sampling words from the model (Liu et al. 2022, B.1).

    Args:
        draws: words sampled from the model in each context.
    """

    draws: int = 1

    gauss_newton = True

    def __post_init__(self) -> None:
        at_least("draws", self.draws, 1)

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term for each context, the mean over its draws."""
        return Terms.of_contexts(given.batch, block_traces(model, given.batch, self.draws, given.generator))
