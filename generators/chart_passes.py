"""What the kernel is run for: whole batches of sentences of one length, on as many threads as torch has.

Every pass takes leaf_scores [n, T, leaf symbols] in float64 and answers in numpy arrays.
"""

import numpy as np

from .chart_plan import Plan
from .compiled import compiled, compiled_pass
from .inside_kernel import Space, clear, inside_cell, inside_leaf, make_space, place
from .lanes import ALIVE, DEAD, LANES, vectors
from .outside_kernel import EVERYWHERE, outside_cell, outside_leaf
from .parallel import in_parallel

TILE = 4
"""Ends of spans that are worked on together."""

LOG_2 = float(np.log(2.0))


def inside(plan: Plan, leaf_scores: np.ndarray) -> np.ndarray:
    """log P(A =>* all words) [n, symbols]; -inf for a symbol that cannot, or that the plan does not keep."""
    out = np.full((len(leaf_scores), plan.num_symbols), -np.inf)
    in_parallel(_inside, len(leaf_scores), plan, leaf_scores, out)
    return out


def inside_outside(plan: Plan, leaf_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log Z [n], m [n, T, leaf symbols], s [n, T]) with dZ / d leaf_scores = m exp(s)."""
    n, length, leaves = leaf_scores.shape
    log_z, margins, log_scale = np.empty(n), np.empty((n, length, leaves)), np.empty((n, length))
    in_parallel(_inside_outside, n, plan, leaf_scores, log_z, margins, log_scale)
    return log_z, margins, log_scale


def next_leaves(
    plan: Plan,
    hidden: tuple[np.ndarray, np.ndarray],
    leaf_scores: np.ndarray,
    lengths: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What follows the first t words, t = 0 .. T: (log p of the end [n, T + 1], m [n, T + 1, leaf symbols], s [n, T + 1]).

    leaf_scores [n, T, leaf symbols], of which the first lengths [n] are read. The joint mass of the first t words and leaf
    symbol a at the next is m exp(s); both it and that of the end count a sentence of length l with weights [longest + 1] in
    logs, -inf where l is not wanted. hidden: `hidden_chart` of the same plan with one start.
    """
    n, longest, leaves = leaf_scores.shape
    log_end, log_scale = np.full((n, longest + 1), -np.inf), np.full((n, longest + 1), -np.inf)
    margins = np.zeros((n, longest + 1, leaves))
    exponents = np.where(weights > -np.inf, np.floor(weights / LOG_2), 0).astype(np.int64)
    mantissas = np.exp(weights - exponents * LOG_2)
    arguments = (plan, *hidden, leaf_scores, lengths, mantissas, exponents, log_end, margins, log_scale)
    in_parallel(_next_leaves, n, *arguments)
    return log_end, margins, log_scale


def hidden_chart(plan: Plan, leaf_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(beta [slots], exponents [widths + 1]) where every word is hidden, leaf_scores [leaf symbols]; the plan has one start."""
    return _hidden_chart(plan, leaf_scores)


@compiled
def _load(leaf_scores: np.ndarray, first: int, end: int, position: int, out: np.ndarray) -> None:
    """out [leaf symbols * 8] = the scores at one position of the sentences first .. first + 7, the last one repeated."""
    for lane in range(LANES):
        row = min(first + lane, end - 1)
        for leaf in range(leaf_scores.shape[2]):
            out[leaf * LANES + lane] = leaf_scores[row, position, leaf]


@compiled_pass
def _grow(plan: Plan, space: Space, leaf_scores: np.ndarray, first: int, last: int) -> None:
    scores = vectors(leaf_scores.shape[2], leaf_scores)
    for start in range(plan.length):
        _load(leaf_scores, first, last, start, scores)
        inside_leaf(plan, space, start, scores)
    for begin in range(2, plan.length + 1, TILE):
        # The spans with one start, or with these few ends, are read over and over: in this order they stay in cache.
        for start in range(min(begin + TILE, plan.length + 1) - 3, -1, -1):
            for end in range(max(begin, start + 2), min(begin + TILE, plan.length + 1)):
                if plan.slots[end - start]:
                    inside_cell(plan, space, end - start, start)


@compiled
def _hand_down_all(plan: Plan, space: Space) -> None:
    """alpha of every span, in the order of `_grow` turned round."""
    for begin in range((plan.length - 2) // TILE * TILE + 2, 1, -TILE):
        for start in range(min(begin + TILE, plan.length + 1) - 2):
            for end in range(min(begin + TILE, plan.length + 1) - 1, max(begin, start + 2) - 1, -1):
                if plan.slots[end - start]:
                    outside_cell(plan, space, end - start, start, EVERYWHERE)


@compiled_pass
def _inside(plan: Plan, leaf_scores: np.ndarray, out: np.ndarray, begin: int, end: int) -> None:
    space = make_space(plan, False)
    cell, top = place(plan, plan.length, 0)
    kind = plan.kind[plan.length]
    for first in range(begin, end, LANES):
        _grow(plan, space, leaf_scores, first, end)
        for slot in range(plan.slots[plan.length]):
            symbol = plan.symbols[plan.symbols_from[kind] + slot]
            for lane in range(min(LANES, end - first)):
                value = space.beta[(top + slot) * LANES + lane]
                if value > 0.0:
                    out[first + lane, symbol] = np.log(value) + space.beta_exponent[cell, lane] * LOG_2


@compiled_pass
def _inside_outside(
    plan: Plan,
    leaf_scores: np.ndarray,
    log_z: np.ndarray,
    margins: np.ndarray,
    log_scale: np.ndarray,
    begin: int,
    end: int,
) -> None:
    space, length = make_space(plan, True), plan.length
    exponents = np.empty(LANES, np.int64)
    top_cell, top = place(plan, length, 0)
    if plan.root_slot[length] < 0:
        log_z[begin:end], margins[begin:end], log_scale[begin:end] = -np.inf, 0.0, -np.inf
        return
    root = (top + plan.root_slot[length]) * LANES
    for first in range(begin, end, LANES):
        rows = min(LANES, end - first)
        _grow(plan, space, leaf_scores, first, end)
        space.alpha[:] = 0.0
        space.alpha_exponent[:] = DEAD
        space.alpha[root : root + LANES] = 1.0
        space.alpha_exponent[top_cell] = 0
        for lane in range(rows):
            value = space.beta[root + lane]
            log_z[first + lane] = np.log(value) + space.beta_exponent[top_cell, lane] * LOG_2 if value > 0 else -np.inf
        _hand_down_all(plan, space)
        for start in range(length):
            outside_leaf(plan, space, start, exponents)
            for lane in range(rows):
                log_scale[first + lane, start] = exponents[lane] * LOG_2
                for leaf in range(len(plan.leaf)):
                    margins[first + lane, start, leaf] = space.symbols[plan.leaf[leaf] * LANES + lane]


@compiled_pass
def _hidden_chart(plan: Plan, leaf_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    space = make_space(plan, False)
    inside_leaf(plan, space, 0, np.repeat(leaf_scores, LANES))
    for width in range(2, plan.length + 1):
        inside_cell(plan, space, width, 0)
    return space.beta[::LANES].copy(), space.beta_exponent[:, 0].copy()


@compiled
def _hide_all(plan: Plan, space: Space, beta: np.ndarray, exponents: np.ndarray) -> None:
    """Every span as it is where all words are hidden: alike at all starts."""
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
    space = make_space(plan, True)
    scores = vectors(leaf_scores.shape[2], leaf_scores)
    exponents = np.empty(LANES, np.int64)
    for first in range(begin, end, LANES):
        rows = min(LANES, end - first)
        _hide_all(plan, space, hidden_beta, hidden_exponents)
        for t in range(lengths[first : first + rows].max() + 1):
            if t > 0:
                _load(leaf_scores, first, end, t - 1, scores)
                _reveal(plan, space, t - 1, scores)
                _write_end(plan, space, t, mantissas, weight_exponents, log_end[first : first + rows])
            if t < plan.length:
                _seed(plan, space, t, mantissas, weight_exponents)
                for width in range(plan.length, 1, -1):
                    for start in range(max(0, t - width + 1), min(t, plan.length - width) + 1):
                        outside_cell(plan, space, width, start, t)
                outside_leaf(plan, space, t, exponents)
                for lane in range(rows):
                    log_scale[first + lane, t] = exponents[lane] * LOG_2 if exponents[lane] > ALIVE else -np.inf
                    for leaf in range(len(plan.leaf)):
                        margins[first + lane, t, leaf] = space.symbols[plan.leaf[leaf] * LANES + lane]


@compiled
def _reveal(plan: Plan, space: Space, position: int, scores: np.ndarray) -> None:
    """The word at a position becomes visible: the spans that hold it are summed again."""
    inside_leaf(plan, space, position, scores)
    for width in range(2, plan.length + 1):
        if plan.slots[width]:
            for start in range(max(0, position - width + 1), min(position, plan.length - width) + 1):
                inside_cell(plan, space, width, start)


@compiled
def _write_end(
    plan: Plan, space: Space, t: int, mantissas: np.ndarray, weight_exponents: np.ndarray, log_end: np.ndarray
) -> None:
    """log p(the first t words are all) [rows]"""
    if plan.root_slot[t] < 0:
        return
    cell, top = place(plan, t, 0)
    for lane in range(len(log_end)):
        value = space.beta[(top + plan.root_slot[t]) * LANES + lane] * mantissas[t]
        if value > 0.0:
            log_end[lane, t] = np.log(value) + (space.beta_exponent[cell, lane] + weight_exponents[t]) * LOG_2


@compiled
def _seed(plan: Plan, space: Space, position: int, mantissas: np.ndarray, weight_exponents: np.ndarray) -> None:
    """alpha of the spans that hold a position: the weight of each length at a whole sentence, nothing elsewhere."""
    for width in range(1, plan.length + 1):
        for start in range(max(0, position - width + 1), min(position, plan.length - width) + 1):
            cell, first = place(plan, width, start)
            clear(space.alpha, space.alpha_exponent[cell], first, plan.slots[width])
            if start == 0 and plan.root_slot[width] >= 0 and mantissas[width] > 0.0:
                at = (first + plan.root_slot[width]) * LANES
                space.alpha[at : at + LANES] = mantissas[width]
                space.alpha_exponent[cell] = weight_exponents[width]
