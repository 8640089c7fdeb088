"""Compiled inside and outside scores of prefixes of each sentence; see `chart`."""

import numpy as np

from .chart import LOG_2, grow_and_hand_down, up_to
from .chart_plan import Plan
from .inside import Space, make_space, place
from .jit import compiled, compiled_pass
from .simd import ALIVE, LANES
from .threads import in_parallel


def prefix_factors(
    plan: Plan, leaf_scores: np.ndarray, lengths: np.ndarray, widths: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The factors of the posterior of each symbol over prefixes of the sentences.

        alpha * beta = P(S =>* A x_{w+1} .. x_T) P(A =>* x_1 .. x_w) / Z

    Only the product is scaled as above; each factor alone has its own scale. Both are 0 for symbols that the plan does
    not keep.

    Args:
        plan: a plan for sentences of all lengths.
        leaf_scores: [n, T, leaf symbols], 0 beyond the end of a sentence.
        lengths: [n].
        widths: the widths w of q prefixes of each sentence, [n, q].

    Returns:
        log Z [n], alpha [n, q, symbols] and beta [n, q, symbols].
    """
    n, longest, _ = leaf_scores.shape
    shape = (n, widths.shape[1], plan.num_symbols)
    log_z, alpha, beta = np.full(n, -np.inf), np.zeros(shape), np.zeros(shape)
    in_parallel(_prefix_factors, n, up_to(plan, longest), leaf_scores, lengths, widths, log_z, alpha, beta)
    return log_z, alpha, beta


@compiled_pass
def _prefix_factors(
    plan: Plan,
    leaf_scores: np.ndarray,
    lengths: np.ndarray,
    widths: np.ndarray,
    log_z: np.ndarray,
    alpha: np.ndarray,
    beta: np.ndarray,
    begin: int,
    end: int,
) -> None:
    space = make_space(plan, True)
    for first in range(begin, end, LANES):
        grow_and_hand_down(plan, space, leaf_scores, lengths, log_z, first, end)
        for lane in range(min(LANES, end - first)):
            row = first + lane
            for asked in range(widths.shape[1] if log_z[row] > -np.inf else 0):
                _read(plan, space, widths[row, asked], lane, log_z[row], alpha[row, asked], beta[row, asked])


@compiled
def _read(
    plan: Plan, space: Space, width: int, lane: int, log_z: float, alpha: np.ndarray, beta: np.ndarray
) -> None:  # fmt: skip
    """alpha / Z and beta of the first `width` words of one sentence, by symbol."""
    cell, first = place(plan, width, 0)
    exponent = space.alpha_exponent[cell, lane] + space.beta_exponent[cell, lane]
    if exponent <= ALIVE:
        return
    scale, kind = np.exp(exponent * LOG_2 - log_z), plan.kind[width]
    for slot in range(plan.slots[width]):
        symbol, at = plan.symbols[plan.symbols_from[kind] + slot], (first + slot) * LANES + lane
        alpha[symbol], beta[symbol] = space.alpha[at] * scale, space.beta[at]
