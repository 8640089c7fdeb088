"""What Tr(H) has beyond the Gauss-Newton trace, by the known truth: the two agree where the model is the truth.

    Tr H - Tr GGN = E_{x,t} sum_v (f_v - p*_v) Tr(d^2 z_v / d theta^2),     z the logits

Hutchinson's estimate on sum_v (f_v - p*_v) z_v, the factor a constant. Its terms vanish with f - p*, and so does their
spread. by-parts is Tr(H) as Gauss-Newton (random_factor.py) plus this residual, over the same shares of the contexts.
"""

from ...models import MaskedLM
from ..trace_terms import Given, Method, Terms
from . import random_factor
from .hutchinson import probe_terms, shares


def _residual(model: MaskedLM, given: Given) -> Terms:
    return probe_terms(model, given, "residual")


def _by_parts(model: MaskedLM, given: Given) -> Terms:
    residual = _residual(model, given)
    whole = random_factor.METHOD.terms(model, given).gathered(shares(given), given.probes)
    blocks = residual.sums.keys()
    return Terms({block: whole.sums[block] + residual.sums[block] for block in blocks}, whole.counts)


METHOD = Method(_residual, truth=True, what="hessian_residual")
BY_PARTS = Method(_by_parts, truth=True)
