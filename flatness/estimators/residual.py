"""The difference between Tr(H) and the Gauss-Newton trace, from the known truth. It is 0 if the model equals the truth.

    Tr H - Tr GGN = E_{x,t} sum_v (f_v - p*_v) Tr(d^2 z_v / d theta^2),     z the logits

Hutchinson's estimate is applied to `sum_v (f_v - p*_v) z_v` with f - p* held constant. Its terms vanish with f - p*,
and so does their variance. by-parts gives Tr(H) as the Gauss-Newton trace (random_factor.py) plus this residual, over
the same shares of the contexts.
"""

from dataclasses import dataclass

from typing_extensions import override

from ...models import LanguageModel
from ..measure import Needs, TraceMeasure, at_least, check_dealt, flatness_measures
from ..trace_terms import Given, Terms
from .hutchinson import probe_terms, shares
from .random_factor import factor_terms


@flatness_measures.register("residual")
@dataclass(frozen=True)
class Residual(TraceMeasure):
    """Tr(H) minus the Gauss-Newton trace.

    Args:
        probes: random vectors, each on its own contexts.
    """

    probes: int = 100

    what = "hessian_residual"
    needs = Needs(truth=True)

    def __post_init__(self) -> None:
        at_least("probes", self.probes, 2)

    @override
    def check(self, contexts: int) -> None:
        check_dealt("residual", self.probes, contexts)

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term a probe."""
        return probe_terms(model, given, "residual", self.probes)


@flatness_measures.register("by-parts")
@dataclass(frozen=True)
class ByParts(TraceMeasure):
    """Tr(H) as the Gauss-Newton trace by random-factor plus the residual.

    Args:
        draws: random combinations a context.
        probes: random vectors of the residual, each on its own contexts.
    """

    draws: int = 1
    probes: int = 100

    needs = Needs(truth=True)

    def __post_init__(self) -> None:
        at_least("draws", self.draws, 1)
        at_least("probes", self.probes, 2)

    @override
    def check(self, contexts: int) -> None:
        check_dealt("by-parts", self.probes, contexts)

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term for each probe: the sum of both traces over the probe's share of the contexts."""
        residual = probe_terms(model, given, "residual", self.probes)
        whole = factor_terms(model, given, self.draws).gathered(shares(given, self.probes), self.probes)
        blocks = residual.sums.keys()
        return Terms({block: whole.sums[block] + residual.sums[block] for block in blocks}, whole.counts)
