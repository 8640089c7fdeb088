"""Whether a head is exact: mu lies in the column space of the emission."""

import math
from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from .condition import Chain, Condition, Verdict, conditions

TOLERANCE = 1e-8
"""The largest relative residual that counts as zero."""


@conditions.register("head")
@dataclass(frozen=True)
class HeadFeasible(Condition):
    """W b = mu has a solution: the head b on G_0 = W^T p(z_0 | x) then gives every text its label.

    The number is minus the least relative residual |W b - mu| / |mu|; b is the solution of least norm. A bias adds
    nothing, because W 1 = 1. log10 |b| in `more` indicates how many digits of G_0 the head needs.

    Source: derived; b . G_0 = (W b) . p(z_0 | x).
    """

    order = 3

    @override
    def check(self, chain: Chain) -> Verdict:
        b = np.linalg.lstsq(chain.emission, chain.mu, rcond=None)[0]
        residual = float(np.linalg.norm(chain.emission @ b - chain.mu) / np.linalg.norm(chain.mu))
        norm = float(np.linalg.norm(b))
        follows = (
            f"a head on the exact words is always right, with weights of norm 1e{math.log10(norm):.1f}"
            if residual <= TOLERANCE
            else "no head on the exact words is right about every posterior"
        )
        return Verdict(
            "- relative residual of W b = mu",
            -residual,
            -TOLERANCE,
            follows,
            {"log10_norm": math.log10(norm) if norm > 0 else None},
        )
