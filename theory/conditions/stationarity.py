"""Stationarity: the first state has the stationary distribution of the chain."""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from .condition import Chain, Condition, Verdict, conditions

TOLERANCE = 1e-9
"""The largest total variation that counts as rounding."""


@conditions.register("stationarity")
@dataclass(frozen=True)
class Stationarity(Condition):
    """pi A = pi. Without it, "the state one step before the text" is not well defined.

    The number is minus the total variation distance between pi and pi A. `more` gives the largest ratio of two entries
    of pi, and the largest deviation of a column sum of A from 1. If A is doubly stochastic and pi uniform, the task's
    A p(z_1 | x) is p(z_0 | x).

    Source: Wei, Xie and Ma 2021, 2106.09226, assumption of stationarity (wording as recalled).
    """

    order = 1

    @override
    def check(self, chain: Chain) -> Verdict:
        transition = chain.transition
        distance = float(np.abs(chain.initial @ transition - chain.initial).sum() / 2)
        columns = float(np.abs(transition.sum(0) - 1).max())
        follows = (
            "a mask before the text is one step before it"
            if distance <= TOLERANCE
            else "the task's state before the text and the language's own differ by the factor of the start"
        )
        least = float(chain.initial.min())
        more = {
            "largest_ratio_of_initial": float(chain.initial.max()) / least if least > 0 else None,
            "column_sums_from_one": columns,
        }
        return Verdict("- total variation of pi and pi A", -distance, -TOLERANCE, follows, more)
