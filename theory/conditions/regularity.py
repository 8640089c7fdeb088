"""Regularity: the chain is ergodic, and every state can be the first state."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from typing_extensions import override

from .condition import Chain, Condition, Table, Verdict, conditions


@conditions.register("regularity")
@dataclass(frozen=True)
class Regularity(Condition):
    """The chain is irreducible and aperiodic, and pi has full support.

    The number is min(1 - |lambda_2|, min_k pi_k), or -1 if the graph of possible transitions is not strongly connected
    or is periodic. A chain with several blocks is never irreducible; for it, `more` gives the least gap of a block.

    Source: Wei, Xie and Ma 2021, 2106.09226, assumption of regularity (wording as recalled).
    """

    order = 0

    @override
    def check(self, chain: Chain) -> Verdict:
        gaps = [gap(block) for block in chain.blocks]
        value = min(gaps[0] if len(gaps) == 1 else -1.0, float(chain.initial.min()))
        follows = (
            "every state is reached, whatever the first state" if value > 0 else "the first state is never forgotten"
        )
        more = {"least_gap_of_a_block": min(gaps), "least_initial": float(chain.initial.min())}
        return Verdict(
            "min(spectral gap, least initial probability)", value, float(np.finfo(float).tiny), follows, more
        )


def gap(transition: Table) -> float:
    """1 - |lambda_2|, the gap between the two largest moduli of eigenvalues.

    Rounding can hide the gap of a chain whose states are nearly disconnected, so the graph decides whether it exists.

    Args:
        transition: [K, K].

    Returns:
        The gap, at least the smallest positive number; -1 for a chain that is not ergodic.
    """
    if period(transition) != 1:
        return -1.0
    moduli = np.sort(np.abs(np.linalg.eigvals(transition)))
    return max(float(1 - moduli[-2]), float(np.finfo(float).tiny)) if len(moduli) > 1 else 1.0


def period(transition: Table) -> int:
    """The greatest common divisor of the lengths of all cycles; 0 if not all states can reach one another."""
    states = len(transition)
    if connected_components(transition > 0, connection="strong")[0] > 1:
        return 0
    level = np.full(states, -1)
    level[0], queue, found = 0, [0], 0
    while queue:
        at = queue.pop()
        for to in np.flatnonzero(transition[at] > 0):
            if level[to] < 0:
                level[to] = level[at] + 1
                queue.append(int(to))
            found = int(np.gcd(found, abs(level[at] + 1 - level[to])))
    return found
