"""Whether a prompt and a head can be exact, by a linear program for each order of prompt and mask.

A prompt multiplies the posterior of the adjacent state by a factor q >= 0. Head b and prompt q are exact if, for all h,

    q_h (M b)_h = kappa mu_h,  kappa > 0

with M = W if the prompt comes before the mask, and M = A~ W with A~_hi = P(z_-1 = i | z_0 = h) if it comes between mask
and text. The choice q = mu / (M b) on H*, and 0 elsewhere, satisfies this if M b has the signs of mu on H*. The program

    max t  such that  sign(mu_h) (M_h . b) >= t on H*,  |b|_inf <= 1

has t > 0 if and only if there is such a b.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linprog, nnls
from typing_extensions import override

from .condition import Chain, Condition, Table, Verdict, conditions

REACHED = 1e-6
"""The largest relative distance of a factor from the cone that counts as none."""

FEASIBLE = 1e-9
"""The least t that counts as positive, given the tolerance of the solver."""


def least_margin(rows: Table, mu: Table) -> tuple[float, Table]:
    """The greatest t with sign(mu_h) rows_h . b >= t where mu_h is not 0, over |b|_inf <= 1.

    Args:
        rows: M [K, V].
        mu: [K].

    Returns:
        (t, b [V]).
    """
    kept = mu != 0
    signed = np.sign(mu[kept])[:, None] * rows[kept]
    words = rows.shape[1]
    found = linprog(
        np.r_[np.zeros(words), -1.0],
        A_ub=np.c_[-signed, np.ones(len(signed))],
        b_ub=np.zeros(len(signed)),
        bounds=[(-1, 1)] * words + [(None, None)],
        method="highs",
    )
    b: Table = found.x[:-1]
    return float((signed @ b).min()), b


def backwards(chain: Chain) -> Table:
    """A~ [K, K]: P(z_-1 = i | z_0 = h), under z_-1 distributed as pi."""
    joint = chain.initial[:, None] * chain.transition
    total = joint.sum(0)
    turned: Table = (joint / np.where(total > 0, total, 1.0)).T
    return turned


def cone_residual(chain: Chain, q: Table) -> float:
    """The distance of q from the cone of factors that a prompt before the mask can reach, {A^T alpha / pi, alpha >= 0}.

    alpha is the weight of each state at the prompt's last artificial word. One step of the chain leads to the mask.

    Args:
        chain: the chain.
        q: [K], not negative.

    Returns:
        The distance of q pi from the cone {A^T alpha}, relative to the norm of q pi; 0 if q can be reached.
    """
    wanted = q * chain.initial
    _, residual = nnls(chain.transition.T, wanted / np.linalg.norm(wanted))
    return float(residual)


def _verdict(rows: Table, chain: Chain, follows: str, more: dict[str, float | None]) -> Verdict:
    value, _ = least_margin(rows, chain.mu)
    said = follows if value >= FEASIBLE else "no prompt that rules out states makes a head exact"
    return Verdict("greatest margin t of the linear program", value, FEASIBLE, said, more)


@conditions.register("prompt-mask-text")
@dataclass(frozen=True)
class PromptFirst(Condition):
    """The program with M = W, for a prompt before the mask, as in the released code.

    The program lets q take any value >= 0. A prompt of probabilities reaches only a cone: `cone_residual` is the
    distance of q = mu / (W b) from it, and `cone_residual_of_ones` that of q = 1 on H*.

    Source: derived; Wei, Xie and Ma 2021, 2106.09226, section on soft prompts.
    """

    order = 4

    @override
    def check(self, chain: Chain) -> Verdict:
        value, b = least_margin(chain.emission, chain.mu)
        kept = chain.mattering
        more: dict[str, float | None] = {"cone_residual": None}
        if value >= FEASIBLE:
            q = np.zeros(len(kept))
            q[kept] = chain.mu[kept] / (chain.emission[kept] @ b)
            more["cone_residual"] = cone_residual(chain, q)
        more["cone_residual_of_ones"] = cone_residual(chain, kept.astype(float))
        follows = "a prompt before the mask and a head are always right"
        if (more["cone_residual"] or 0.0) > REACHED:
            follows += ", if a trained prompt reaches a factor that no prompt of probabilities reaches"
        return _verdict(chain.emission, chain, follows, more)


@conditions.register("mask-prompt-text")
@dataclass(frozen=True)
class MaskFirst(Condition):
    """The program with M = A~ W, for a prompt between mask and text, which can reach every q between 0 and 1 exactly.

    Source: derived; Wei, Xie and Ma 2021, 2106.09226, section on soft prompts.
    """

    order = 5

    @override
    def check(self, chain: Chain) -> Verdict:
        rows = backwards(chain) @ chain.emission
        return _verdict(rows, chain, "a prompt between mask and text and a head are always right", {})
