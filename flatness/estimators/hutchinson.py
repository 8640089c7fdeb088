"""Hutchinson's estimate (1989) of the trace: E v^T H v = Tr H for random signs v (Rademacher), one product each.

The contexts are dealt out: each probe has sentences of its own, so that its terms are independent of all others' and
the standard error covers both the random vectors and the contexts. A block's share is v_b . (H v)_b. With the truth the
loss is -sum_v p*_v log f_v and its Hessian has no label noise.
"""

import torch

from ...errors import InputError
from ...models import MaskedLM
from ..contexts import sentences
from ..operator import Kind, Space, product
from ..trace_terms import Given, Method, Terms


def shares(given: Given) -> torch.Tensor:
    """The probe [n] that each sentence of the batch belongs to. Raises InputError for more probes than sentences."""
    n = len(given.batch.inputs)
    if not 2 <= given.probes <= n:
        raise InputError(
            f"{given.probes} probes on {n} sentences: expected at least 2, each with a sentence of its own"
        )
    return torch.arange(n) * given.probes // n


def probe_terms(model: MaskedLM, given: Given, kind: Kind) -> Terms:
    """One term a probe: v . (A v), A the sum over its contexts; counts: how many these are."""
    model.eval()
    space, share = Space(model), shares(given)
    rows, counts = [], []
    for probe in range(given.probes):
        mine = (share == probe).nonzero()[:, 0]
        batch, which = sentences(given.batch, int(mine[0]), int(mine[-1]) + 1)
        signs = space.signs(given.generator)
        counts.append(len(which))
        if not len(which):
            rows.append(space.by_block(torch.zeros_like(signs)))
            continue
        truth = None if given.truth is None else given.truth[which]
        rows.append(space.by_block(signs * product(model, space, kind, batch, truth, signs)))
    sums = {block: torch.stack([row[block] for row in rows]) for block in rows[0]}
    return Terms(sums, torch.tensor(counts, dtype=torch.float64))


METHOD = Method(lambda model, given: probe_terms(model, given, "hessian"))
GAUSS_NEWTON = Method(lambda model, given: probe_terms(model, given, "gauss-newton"))
