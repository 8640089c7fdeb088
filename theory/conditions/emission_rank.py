"""The rank of the emission: whether the distribution of the word determines the posterior of the state."""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from .condition import Chain, Condition, Verdict, conditions


@conditions.register("emission-rank")
@dataclass(frozen=True)
class EmissionRank(Condition):
    """The K emission distributions are linearly independent: rank W = K.

    The number is the K-th singular value of W, or 0 if there are fewer words than states. It must be at least the
    rounding error of float64, max(K, V) eps sigma_1. If the condition holds, b = W^+ mu is an exact head on
    G_0 = W^T p(z_0 | x).

    Source: Wei, Xie and Ma 2021, 2106.09226, assumption of non-degeneracy (wording as recalled).
    """

    order = 2

    @override
    def check(self, chain: Chain) -> Verdict:
        values = np.linalg.svd(chain.emission, compute_uv=False)
        states = len(chain.emission)
        least = max(chain.emission.shape) * float(np.finfo(float).eps) * float(values[0])
        value = float(values[states - 1]) if states <= len(values) else 0.0
        follows = "every linear task has an exact head" if value >= least else "some linear tasks have no exact head"
        return Verdict("least singular value of W", value, least, follows, {"rank": int((values >= least).sum())})
