"""What the kernel is run for: whole batches of sentences, on as many threads as torch has.

Every pass takes leaf_scores [n, T, leaf symbols] in float64 and answers in numpy arrays. Where it takes lengths [n]
too, the scores beyond a sentence's end are 0 and the plan is one of all lengths: of the eight sentences of a group each
has the start symbol at its own length, the chart is that of the longest. Neighbours of about one length are fastest.
"""

import numpy as np

from .chart_plan import Plan
from .inside import Space, inside_cell, inside_leaf, make_space, place
from .jit import compiled, compiled_pass
from .outside import EVERYWHERE, outside_cell, outside_leaf
from .simd import ALIVE, DEAD, LANES, vectors
from .threads import in_parallel

TILE = 4
"""Ends of spans that are worked on together."""

LOG_2 = float(np.log(2.0))


def inside(plan: Plan, leaf_scores: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """log P(A =>* all words) [n, symbols]; -inf for a symbol that cannot, or that the plan does not keep."""
    n, longest, _ = leaf_scores.shape
    out = np.full((n, plan.num_symbols), -np.inf)
    in_parallel(_inside, n, up_to(plan, longest), leaf_scores, _all(n, longest, lengths), out)
    return out


def inside_outside(
    plan: Plan, leaf_scores: np.ndarray, lengths: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(log Z [n], m [n, T, leaf symbols], s [n, T]) with dZ / d leaf_scores = m exp(s); 0 beyond a sentence's end."""
    n, longest, leaves = leaf_scores.shape
    log_z, margins, log_scale = np.empty(n), np.zeros((n, longest, leaves)), np.zeros((n, longest))
    of = _all(n, longest, lengths)
    in_parallel(_inside_outside, n, up_to(plan, longest), leaf_scores, of, log_z, margins, log_scale)
    return log_z, margins, log_scale


def up_to(plan: Plan, length: int) -> Plan:
    """A plan of all lengths with room for no more than this one."""
    if length == plan.length:
        return plan
    starts = np.maximum(length + 1 - np.arange(length + 1), 0)
    starts[0] = 0
    first_slot, first_cell = (np.concatenate([[0], np.cumsum(n)]) for n in (starts * plan.slots[: length + 1], starts))
    return plan._replace(length=length, first_slot=first_slot, first_cell=first_cell)


def _all(n: int, longest: int, lengths: np.ndarray | None) -> np.ndarray:
    return np.full(n, longest) if lengths is None else lengths


def next_leaves(
    plan: Plan,
    hidden: tuple[np.ndarray, np.ndarray],
    leaf_scores: np.ndarray,
    lengths: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What follows t words, t = 0 .. T: (log p of the end [n, T + 1], m [n, T + 1, leaf symbols], s [n, T + 1]).

    leaf_scores [n, T, leaf symbols], of which the first lengths [n] are read. The joint mass of the first t words and
    leaf symbol a at the next is m exp(s); both it and that of the end count a sentence of length l with weights
    [longest + 1] in logs, -inf where l is not wanted. hidden: `hidden_chart` of the same plan with one start.

    The outside score of a span, with the words left of it read and those right of it hidden, is the same for all t
    within the span: one inside pass over the words read and one outside pass give every t.
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
    """(beta [slots], exponents [widths + 1]) where all words are hidden, by leaf_scores [leaf symbols]; one start."""
    return _hidden_chart(plan, leaf_scores)


@compiled
def _load(leaf_scores: np.ndarray, first: int, end: int, position: int, out: np.ndarray) -> None:
    """out [leaf symbols * 8] = the scores at a position of the sentences first .. first + 7, the last one repeated."""
    for lane in range(LANES):
        row = min(first + lane, end - 1)
        for leaf in range(leaf_scores.shape[2]):
            out[leaf * LANES + lane] = leaf_scores[row, position, leaf]


@compiled_pass
def grow(plan: Plan, space: Space, leaf_scores: np.ndarray, first: int, last: int, length: int) -> None:
    """beta of every span of the first `length` words of the sentences first .. first + 7."""
    scores = vectors(leaf_scores.shape[2], space.beta)
    for start in range(length):
        _load(leaf_scores, first, last, start, scores)
        inside_leaf(plan, space, start, scores)
    for begin in range(2, length + 1, TILE):
        # The spans with one start, or with these few ends, are read over and over: in this order they stay in cache.
        for start in range(min(begin + TILE, length + 1) - 3, -1, -1):
            for end in range(max(begin, start + 2), min(begin + TILE, length + 1)):
                if plan.slots[end - start]:
                    inside_cell(plan, space, end - start, start)


@compiled
def hand_down(plan: Plan, space: Space, length: int) -> None:
    """alpha of every span of the first `length` words, in the order of `grow` turned round."""
    for begin in range((length - 2) // TILE * TILE + 2, 1, -TILE):
        for start in range(min(begin + TILE, length + 1) - 2):
            for end in range(min(begin + TILE, length + 1) - 1, max(begin, start + 2) - 1, -1):
                if plan.slots[end - start]:
                    outside_cell(plan, space, end - start, start, EVERYWHERE)


@compiled_pass
def _inside(
    plan: Plan, leaf_scores: np.ndarray, lengths: np.ndarray, out: np.ndarray, begin: int, end: int
) -> None:  # fmt: skip
    space = make_space(plan, False)
    for first in range(begin, end, LANES):
        rows = min(LANES, end - first)
        grow(plan, space, leaf_scores, first, end, lengths[first : first + rows].max())
        for lane in range(rows):
            length = lengths[first + lane]
            cell, top = place(plan, length, 0)
            for slot in range(plan.slots[length]):
                value = space.beta[(top + slot) * LANES + lane]
                if value > 0.0:
                    symbol = plan.symbols[plan.symbols_from[plan.kind[length]] + slot]
                    out[first + lane, symbol] = np.log(value) + space.beta_exponent[cell, lane] * LOG_2


@compiled
def put_root(plan: Plan, space: Space, length: int, lane: int) -> float:
    """alpha of a sentence in a chart where it is 0: the start symbol over all its words. log Z."""
    if plan.root_slot[length] < 0:
        return -np.inf
    cell, top = place(plan, length, 0)
    at = (top + plan.root_slot[length]) * LANES + lane
    space.alpha[at] = 1.0
    space.alpha_exponent[cell, lane] = 0
    value = space.beta[at]
    return np.log(value) + space.beta_exponent[cell, lane] * LOG_2 if value > 0.0 else -np.inf


@compiled_pass
def grow_and_hand_down(
    plan: Plan, space: Space, leaf_scores: np.ndarray, lengths: np.ndarray, log_z: np.ndarray, first: int, end: int
) -> int:
    """beta and alpha of every span of the sentences first .. first + 7, and log Z; the length of the longest."""
    rows = min(LANES, end - first)
    longest = lengths[first : first + rows].max()
    grow(plan, space, leaf_scores, first, end, longest)
    space.alpha[:] = 0.0
    space.alpha_exponent[:] = DEAD
    for lane in range(rows):
        log_z[first + lane] = put_root(plan, space, lengths[first + lane], lane)
    hand_down(plan, space, longest)
    return longest


@compiled_pass
def _inside_outside(
    plan: Plan,
    leaf_scores: np.ndarray,
    lengths: np.ndarray,
    log_z: np.ndarray,
    margins: np.ndarray,
    log_scale: np.ndarray,
    begin: int,
    end: int,
) -> None:
    space = make_space(plan, True)
    exponents = np.empty(LANES, np.int64)
    for first in range(begin, end, LANES):
        for start in range(grow_and_hand_down(plan, space, leaf_scores, lengths, log_z, first, end)):
            outside_leaf(plan, space, start, exponents)
            for lane in range(min(LANES, end - first)):
                if start < lengths[first + lane]:
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
                # The sentence may go on: what stands right of a span is hidden, what stands left of it was read.
                for width in range(plan.length - t, 1, -1):
                    outside_cell(plan, hidden, width, t, t)
                    outside_cell(plan, visible, width, t, t + width - 1)
                outside_leaf(plan, visible, t, exponents)
                for lane in range(rows):
                    log_scale[first + lane, t] = exponents[lane] * LOG_2 if exponents[lane] > ALIVE else -np.inf
                    for leaf in range(len(plan.leaf)):
                        margins[first + lane, t, leaf] = visible.symbols[plan.leaf[leaf] * LANES + lane]


@compiled_pass
def _with_alpha_of(one: Space, other: Space) -> Space:
    """The other space with the alpha of the one."""
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
    """log p(the first t words are all) [rows]"""
    if plan.root_slot[t] < 0:
        return
    cell, top = place(plan, t, 0)
    for lane in range(len(log_end)):
        value = space.beta[(top + plan.root_slot[t]) * LANES + lane] * mantissas[t]
        if value > 0.0:
            log_end[lane, t] = np.log(value) + (space.beta_exponent[cell, lane] + weight_exponents[t]) * LOG_2


@compiled
def _seed(plan: Plan, space: Space, mantissas: np.ndarray, weight_exponents: np.ndarray) -> None:
    """alpha of all spans: the weight of each length at a whole sentence, nothing elsewhere."""
    space.alpha[:] = 0.0
    space.alpha_exponent[:] = DEAD
    for width in range(1, plan.length + 1):
        if plan.root_slot[width] >= 0 and mantissas[width] > 0.0:
            cell, first = place(plan, width, 0)
            at = (first + plan.root_slot[width]) * LANES
            space.alpha[at : at + LANES] = mantissas[width]
            space.alpha_exponent[cell] = weight_exponents[width]
