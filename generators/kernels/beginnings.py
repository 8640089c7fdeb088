"""Next-word masses after each prefix of a sentence, from compiled inside and outside passes."""

import numpy as np

from .chart import LOG_2, grow
from .chart_plan import Plan
from .inside import Space, make_space, place
from .jit import compiled, compiled_pass
from .outside import outside_cell, outside_leaf
from .simd import ALIVE, DEAD, LANES
from .threads import in_parallel


def next_leaves(
    plan: Plan,
    hidden: tuple[np.ndarray, np.ndarray],
    leaf_scores: np.ndarray,
    lengths: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The masses of all continuations of the first t words of each sentence, for every t = 0 .. T.

    The outside score of a span is the same for all t within it: the words to its left are read, and the words to its
    right are hidden. So one inside pass over the words read and one outside pass give the masses for every t.

    Args:
        plan: a plan for sentences of all lengths.
        hidden: the `hidden_chart` of the same plan with one start per width.
        leaf_scores: [n, T, leaf symbols].
        lengths: the number of words read of each sentence, [n].
        weights: the log weight of each sentence length, [longest + 1]; -inf for an excluded length.

    Returns:
        The log of the weighted mass of the sentence that ends after t words, [n, T + 1]; m [n, T + 1, leaf symbols] and
        s [n, T + 1], where m exp(s) is the weighted joint mass of the first t words and each leaf symbol at the next
        word.
    """
    n, longest, leaves = leaf_scores.shape
    log_end, log_scale = np.full((n, longest + 1), -np.inf), np.full((n, longest + 1), -np.inf)
    margins = np.zeros((n, longest + 1, leaves))
    exponents = np.where(weights > -np.inf, np.floor(weights / LOG_2), 0).astype(np.int64)
    mantissas = np.exp(weights - exponents * LOG_2)
    arguments = (plan, *hidden, leaf_scores, lengths, mantissas, exponents, log_end, margins, log_scale)
    in_parallel(_next_leaves, n, *arguments)
    return log_end, margins, log_scale


@compiled_pass
def _next_leaves(
    plan: Plan,
    hidden_beta: np.ndarray,
    hidden_exponents: np.ndarray,
    leaf_scores: np.ndarray,
    lengths: np.ndarray,
    mantissas: np.ndarray,
    weight_exponents: np.ndarray,
    log_end: np.ndarray,
    margins: np.ndarray,
    log_scale: np.ndarray,
    begin: int,
    end: int,
) -> None:
    hidden, visible = make_space(plan, False), make_space(plan, True)
    _hide_all(plan, hidden, hidden_beta, hidden_exponents)
    hidden = _with_alpha_of(visible, hidden)
    exponents = np.empty(LANES, np.int64)
    for first in range(begin, end, LANES):
        rows = min(LANES, end - first)
        longest = lengths[first : first + rows].max()
        grow(plan, visible, leaf_scores, first, end, longest)
        _seed(plan, visible, mantissas, weight_exponents)
        for t in range(longest + 1):
            if t > 0:
                _write_end(plan, visible, t, mantissas, weight_exponents, log_end[first : first + rows])
            if t < plan.length:
                # The sentence may continue: words to the right of a span are hidden, words to its left are read.
                for width in range(plan.length - t, 1, -1):
                    outside_cell(plan, hidden, width, t, t)
                    outside_cell(plan, visible, width, t, t + width - 1)
                outside_leaf(plan, visible, t, exponents)
                for lane in range(rows):
                    log_scale[first + lane, t] = exponents[lane] * LOG_2 if exponents[lane] > ALIVE else -np.inf
                    for leaf in range(len(plan.leaf)):
                        margins[first + lane, t, leaf] = visible.symbols[plan.leaf[leaf] * LANES + lane]


@compiled
def _hide_all(plan: Plan, space: Space, beta: np.ndarray, exponents: np.ndarray) -> None:
    """Sets beta of every span to its value for hidden words, which is the same at every start."""
    first = 0
    for width in range(1, plan.length + 1):
        count = plan.slots[width]
        for start in range(plan.length - width + 1):
            cell, at = place(plan, width, start)
            space.beta_exponent[cell] = exponents[width - 1]
            for slot in range(count):
                space.beta[(at + slot) * LANES : (at + slot + 1) * LANES] = beta[first + slot]
        first += count


@compiled_pass
def _with_alpha_of(one: Space, other: Space) -> Space:
    """The space `other` with the alpha of `one`."""
    return Space(
        other.beta,
        other.beta_exponent,
        one.alpha,
        one.alpha_exponent,
        other.pairs,
        other.symbols,
        other.fresh,
        other.fresh_exponent,
        other.scaled_left,
        other.scaled_right,
        other.wanted,
        other.factor,
        other.other,
    )


@compiled
def _write_end(
    plan: Plan, space: Space, t: int, mantissas: np.ndarray, weight_exponents: np.ndarray, log_end: np.ndarray
) -> None:
    """Writes log p(the sentence is its first t words) into log_end [rows, T + 1]."""
    if plan.root_slot[t] < 0:
        return
    cell, top = place(plan, t, 0)
    for lane in range(len(log_end)):
        value = space.beta[(top + plan.root_slot[t]) * LANES + lane] * mantissas[t]
        if value > 0.0:
            log_end[lane, t] = np.log(value) + (space.beta_exponent[cell, lane] + weight_exponents[t]) * LOG_2


@compiled
def _seed(plan: Plan, space: Space, mantissas: np.ndarray, weight_exponents: np.ndarray) -> None:
    """Sets alpha of the start symbol over a whole sentence to the weight of its length, and all other alpha to 0."""
    space.alpha[:] = 0.0
    space.alpha_exponent[:] = DEAD
    for width in range(1, plan.length + 1):
        if plan.root_slot[width] >= 0 and mantissas[width] > 0.0:
            cell, first = place(plan, width, 0)
            at = (first + plan.root_slot[width]) * LANES
            space.alpha[at : at + LANES] = mantissas[width]
            space.alpha_exponent[cell] = weight_exponents[width]
