"""Hutchinson's estimate (1989) of the trace: E v^T H v = Tr H for random signs v (Rademacher), one product each.

Probes do not share sentences. Their terms are therefore independent, and the standard error covers both the random
vectors and the contexts. The share of a block is v_b . (H v)_b. With the truth, the loss is -sum_v p*_v log f_v, and
its Hessian has no label noise.
"""

from dataclasses import dataclass

import torch
from typing_extensions import override

from ...errors import InputError
from ...models import LanguageModel
from ..measure import TraceMeasure, at_least, check_dealt, check_targets, flatness_measures
from ..operator import Kind, Space, product
from ..trace_terms import Given, Terms


def shares(given: Given, probes: int) -> torch.Tensor:
    """The probe of each of n sentences, [n]. Raises InputError for fewer than 2 or more than n probes."""
    n = len(given.batch.inputs)
    if not 2 <= probes <= n:
        raise InputError(f"{probes} probes on {n} sentences: expected at least 2, each with a sentence of its own")
    return torch.arange(n) * probes // n


def probe_terms(model: LanguageModel, given: Given, kind: Kind, probes: int) -> Terms:
    """One term v . (A v) for each probe, where A is the sum over the probe's contexts, and their number."""
    model.eval()
    space, share = Space(model), shares(given, probes)
    rows, counts = [], []
    for probe in range(probes):
        mine = (share == probe).nonzero()[:, 0]
        batch, which = given.batch.select(slice(int(mine[0]), int(mine[-1]) + 1))
        signs = space.signs(given.generator)
        counts.append(len(which))
        if not len(which):
            rows.append(space.by_block(torch.zeros_like(signs)))
            continue
        truth = None if given.truth is None else given.truth[which]
        rows.append(space.by_block(signs * product(model, space, kind, batch, truth, signs)))
    sums = {block: torch.stack([row[block] for row in rows]) for block in rows[0]}
    return Terms(sums, torch.tensor(counts, dtype=torch.float64))


@flatness_measures.register("gauss-newton-hutchinson")
@dataclass(frozen=True)
class GaussNewtonHutchinson(TraceMeasure):
    """The Gauss-Newton trace by Hutchinson's estimate.

    Args:
        probes: random vectors, each on its own contexts.
    """

    probes: int = 100

    gauss_newton = True

    def __post_init__(self) -> None:
        at_least("probes", self.probes, 2)

    @override
    def check(self, contexts: int) -> None:
        check_dealt("gauss-newton-hutchinson", self.probes, contexts)

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term a probe."""
        return probe_terms(model, given, "gauss-newton", self.probes)


@flatness_measures.register("hutchinson")
@dataclass(frozen=True)
class Hutchinson(TraceMeasure):
    """The trace of the Hessian itself by Hutchinson's estimate.

    Args:
        probes: random vectors, each on its own contexts.
        targets: sampled words, or exact: their true probabilities, without label noise.
    """

    probes: int = 100
    targets: str = "sampled"

    def __post_init__(self) -> None:
        at_least("probes", self.probes, 2)
        check_targets(self.targets)

    @override
    def check(self, contexts: int) -> None:
        check_dealt("hutchinson", self.probes, contexts)

    @override
    def terms(self, model: LanguageModel, given: Given) -> Terms:
        """One term a probe."""
        return probe_terms(model, given, "hessian", self.probes)
