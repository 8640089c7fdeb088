"""The trace of the Gauss-Newton matrix, exact in each context: it sums over all words instead of sampling them.

    Tr = sum_v f_v || grad log f_v ||^2 = Tr J^T F J,    F = diag f - f f^T,  J the Jacobian of the logits z = W h + b

The parameters before the head contribute sum_k lambda_k || J_h^T q_k ||^2, with J_h the Jacobian of the features h. The
matrix M = W^T F W = Q diag(lambda) Q^T is d x d and has rank at most r = min(d, C - 1), so r backward passes suffice
instead of C.

The head has a closed form: Tr F = 1 - |f|^2 for the bias, and |h|^2 times that for the output matrix. The tied
embedding adds the cross terms of words that are both read and predicted,
2 sum_k sum_t <q_k, f_(x_t) (W_(x_t) - W^T f)> <h, (J_h^T q_k)_t>.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...generators.sentences import Batch
from ...models import LanguageModel
from ..contexts import Contexts, groups, probabilities
from ..ghost_norms import fallback as gradients
from ..ghost_norms.recorder import Recorded, can_record
from ..ghost_norms.tied_head import Head, add
from ..measure import TraceMeasure, flatness_measures
from ..trace_terms import Given, Terms, by_block

MATRICES = 2**25
"""The most numbers in the d x d matrices held at a time, one matrix for each context: 256 MiB in float64."""


def context_traces(model: LanguageModel, batch: Batch) -> dict[str, Tensor]:
    """Tr J^T F J of each context by kind of parameter: name -> [m] float64."""
    model.eval()
    if not can_record(model):
        f = probabilities(model, batch).cpu()
        words = torch.arange(f.shape[1], device=batch.rows.device).expand(len(f), -1)
        found = gradients.squares(model, batch, words)
        return by_block(model, {name: (f * values).sum(1) for name, values in found.items()})
    out: dict[str, Tensor] = {}
    for contexts in groups(model, batch, MATRICES // model.feature_size**2 or 1):
        for name, values in _traces(model, contexts).items():
            out.setdefault(name, torch.zeros(len(batch.rows), dtype=torch.float64))[contexts.index.cpu()] = values.cpu()
    return by_block(model, out)


def _traces(model: LanguageModel, contexts: Contexts) -> dict[str, Tensor]:
    recorded = Recorded(model, contexts)
    head = Head(model, recorded)
    f, W = head.f.double(), head.weight.double()
    mean = f @ W
    M = torch.stack([(W * p[:, None]).T @ W for p in f])
    values, vectors = torch.linalg.eigh(M - mean[:, :, None] * mean[:, None, :])
    rank = min(W.shape[1], head.classes - 1)
    of_read = f.gather(1, head.classes_read)[..., None] * (W[head.classes_read] - mean[:, None])
    shares = [head.scaled(1 - f.square().sum(1))]
    for weight, q in zip(values.unbind(1)[-rank:], vectors.unbind(2)[-rank:], strict=True):
        squares, read = recorded.pull(q.to(head.f.dtype))
        coefficients = (of_read @ q[:, :, None])[..., 0].to(read.dtype)
        shares.append({name: weight.clamp(min=0) * square for name, square in squares.items()})
        shares.append(head.crossed(coefficients, read))
        shares = [add(*shares)]
    return shares[0]


@flatness_measures.register("gauss-newton")
@dataclass(frozen=True)
class GaussNewton(TraceMeasure):
    """The Gauss-Newton trace, exact in each context: the standard error is due to the choice of contexts alone."""

    gauss_newton = True

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term for each context."""
        return Terms.of_contexts(given.batch, context_traces(model, given.batch))
