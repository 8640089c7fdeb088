"""The trace of the Gauss-Newton matrix from one random combination of all words in each context.

    l = (1 - f 1^T) (sqrt(f) * r),  r_v = +-1 at random:   E l l^T = F = diag f - f f^T,   E || J^T l ||^2 = Tr J^T F J

A sampled word picks one term of the sum over words. The combination l mixes all terms, so its variance is smaller. The
head's output matrix and bias have closed forms (see gauss_newton.py). A control variate reduces the variance of the
rest: |W^T l|^2, the squared covector before the head, with the known mean sum_v f_v |W_v|^2 - |W^T f|^2 over r. Its
coefficient for one half of the sentences is fitted on the other half, so the estimate stays unbiased. With fewer than
FEWEST sentences the coefficient is 0, because a slope fitted on few sentences may increase the variance.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...models import LanguageModel
from ...models.interface import TiedHead
from ..contexts import groups, probabilities
from ..ghost_norms import fallback as gradients
from ..ghost_norms.recorder import Recorded, can_record
from ..ghost_norms.tied_head import Head, add
from ..measure import TraceMeasure, at_least, flatness_measures
from ..trace_terms import Given, Terms, by_block

Values = dict[str, Tensor]

FEWEST = 50
"""The smallest number of sentences for which the control variate is used."""


def context_terms(model: LanguageModel, given: Given, draws: int) -> tuple[Values, Tensor]:
    """The mean over draws of || J^T l ||^2 by kind of parameter, name -> [m]; control variate minus its mean, [m]."""
    model.eval()
    m = len(given.batch.rows)
    out: Values = {}
    control = torch.zeros(m, dtype=torch.float64)
    for contexts in groups(model, given.batch):
        recorded = Recorded(model, contexts)
        head = Head(model, recorded)
        mean = head.f @ head.weight
        known = head.f @ head.weight.square().sum(1) - mean.square().sum(1)
        shares = [head.scaled(1 - head.f.double().square().sum(1))]
        for _ in range(draws):
            covector = _combination(head.f, given.generator)
            before = covector @ head.weight
            squares, read = recorded.pull(before)
            crossed = head.crossed(covector.gather(1, head.classes_read), read)
            shares += [{name: values / draws for name, values in add(squares, crossed).items()}]
            here = (before.square().sum(1) - known).double() / draws
            control.index_add_(0, contexts.index.cpu(), here.cpu())
        for name, values in by_block(model, add(*shares)).items():
            out.setdefault(name, torch.zeros(m, dtype=torch.float64))[contexts.index.cpu()] = values.cpu()
    return out, control


def plain_terms(model: LanguageModel, given: Given, draws: int) -> Values:
    """The mean over draws of || J^T l ||^2 from whole gradients, head included, by kind of parameter: name -> [m]."""
    f = probabilities(model, given.batch)
    shares = [gradients.pulled(model, given.batch, _combination(f, given.generator)) for _ in range(draws)]
    return by_block(model, {name: values / draws for name, values in add(*shares).items()})


def _combination(f: Tensor, generator: torch.Generator) -> Tensor:
    """The random combination l, [m, C]."""
    signs = torch.randint(0, 2, f.shape, generator=generator, device=f.device).to(f.dtype) * 2 - 1
    some = f.sqrt() * signs
    return some - f * some.sum(1, keepdim=True)


def factor_terms(model: LanguageModel, given: Given, draws: int) -> Terms:
    """One term for each context, after the control variate. Raises InputError for a network without a tied output."""
    model.eval()
    if not isinstance(getattr(model, "words", None), TiedHead):
        raise InputError(f"method random-factor with model '{model.name}': expected a network with a tied output")
    if not can_record(model):
        return Terms.of_contexts(given.batch, plain_terms(model, given, draws))
    values, control = context_terms(model, given, draws)
    terms = Terms.of_contexts(given.batch, values | {"": control})
    control = terms.sums.pop("")
    return Terms({block: _corrected(sums, control) for block, sums in terms.sums.items()}, terms.counts)


def _corrected(sums: Tensor, control: Tensor) -> Tensor:
    """sums - b control, [c]. The slope b of the even clusters is fitted on the odd ones, and vice versa."""
    out = sums.clone()
    if len(sums) < FEWEST:
        return out
    for half in (0, 1):
        theirs, other = sums[1 - half :: 2], control[1 - half :: 2]
        slope = ((theirs - theirs.mean()) * other).sum() / other.square().sum().clamp(min=1e-300)
        out[half::2] -= slope * control[half::2]
    return out


@flatness_measures.register("random-factor")
@dataclass(frozen=True)
class RandomFactor(TraceMeasure):
    """The Gauss-Newton trace from random combinations of all words, with a control variate: the cheapest for its error.

    Args:
        draws: random combinations a context.
    """

    draws: int = 1

    gauss_newton = True

    def __post_init__(self) -> None:
        at_least("draws", self.draws, 1)

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term for each context, the mean over its draws."""
        return factor_terms(model, given, self.draws)
