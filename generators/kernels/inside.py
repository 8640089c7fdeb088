"""The inside pass as compiled code: eight sentences side by side, with their charts in cache.

`pcfg.chart.tensor` states the recursions; `chart_plan` has the tables. A cell is a span. Its scores are
values [slots, 8] * 2^exponent, with one exponent per sentence, so long sentences do not underflow. The terms of a sum
are added at one scale unless their exponents differ by more than SLACK. In that case, each term is first normalised
separately, so that a zero term with a large exponent does not make the others underflow.
"""

from typing import NamedTuple

import numpy as np

from .chart_plan import BLOCK, CHILD_BITS, Plan
from .jit import compiled, compiled_pass
from .simd import (
    ALIVE,
    DEAD,
    LANES,
    Vector,
    load,
    load_near,
    normalise,
    number_at,
    plus,
    powers_of_two,
    scale_into,
    spread,
    store,
    store_near,
    times,
    times_plus,
    vectors,
)

SLACK = 256
"""The largest difference between the exponents of terms that are added at one scale."""

TOGETHER = 4
"""The number of splits with the same list of pairs that are processed together."""

CHILD = (1 << CHILD_BITS) - 1


class Space(NamedTuple):
    """The charts of eight sentences, and buffers for unfinished sums.

    Args:
        beta: inside scores, [slots * 8].
        beta_exponent: their exponents, [cells, 8].
        alpha: outside scores, [slots * 8].
        alpha_exponent: their exponents, [cells, 8].
        pairs: a buffer with one vector for each pair of children of one span.
        symbols: a buffer with one vector for each symbol of one span, before its unary rules.
        fresh: scores that are to be added to those of a span.
        fresh_exponent: their exponents, [8].
        scaled_left: beta of the left children of one span, at the scale of the span, split by split.
        scaled_right: the same for the right children.
        wanted: whether a split must still be added to its left and to its right child, [length, 2].
        factor: a buffer with one number for each sentence, [8].
        other: a buffer with one number for each sentence, [8].
    """

    beta: np.ndarray
    beta_exponent: np.ndarray
    alpha: np.ndarray
    alpha_exponent: np.ndarray
    pairs: np.ndarray
    symbols: np.ndarray
    fresh: np.ndarray
    fresh_exponent: np.ndarray
    scaled_left: np.ndarray
    scaled_right: np.ndarray
    wanted: np.ndarray
    factor: np.ndarray
    other: np.ndarray


@compiled_pass
def make_space(plan: Plan, with_outside: bool) -> Space:
    """Allocates the charts of a plan. Without the outside pass, alpha is empty."""
    slots, cells, widest = plan.first_slot[-1], plan.first_cell[-1], plan.widest
    outside_slots = slots if with_outside else 0
    return Space(
        vectors(slots, plan.rule_p),
        np.full((cells, LANES), DEAD),
        vectors(outside_slots, plan.rule_p),
        np.full((cells, LANES), DEAD),
        vectors(plan.num_pairs.max(), plan.rule_p),
        vectors(plan.num_symbols, plan.rule_p),
        vectors(widest, plan.rule_p),
        np.full(LANES, DEAD),
        vectors(plan.length * widest, plan.rule_p),
        vectors(plan.length * widest, plan.rule_p),
        np.zeros((plan.length, 2), np.bool_),
        np.ones(LANES),
        np.ones(LANES),
    )


@compiled
def place(plan: Plan, width: int, start: int) -> tuple[int, int]:
    """(cell, first slot) of a span."""
    start *= plan.step
    return plan.first_cell[width] + start, plan.first_slot[width] + start * plan.slots[width]


@compiled
def clear(values: np.ndarray, exponents: np.ndarray, first: int, count: int) -> None:
    """Sets the scores of a span to zero."""
    values[first * LANES : (first + count) * LANES] = 0.0
    exponents[:] = DEAD


@compiled
def merge(space: Space, values: np.ndarray, exponents: np.ndarray, first: int, count: int) -> None:
    """Adds fresh * 2^fresh_exponent to values * 2^exponents."""
    for lane in range(LANES):
        top = max(exponents[lane], space.fresh_exponent[lane])
        space.factor[lane] = exponents[lane] - top
        space.other[lane] = space.fresh_exponent[lane] - top
        exponents[lane] = top
    powers_of_two(space.factor)
    powers_of_two(space.other)
    old, new = load(space.factor, 0), load(space.other, 0)
    for slot in range(count):
        store(values, first + slot, times_plus(load(space.fresh, slot), new, times(load(values, first + slot), old)))


@compiled
def close(plan: Plan, kind: int, space: Space, out: np.ndarray, first: int) -> None:
    """out[A] += sum_B U[A, B] symbols[B] for the symbols A that the plan keeps; U is the closure."""
    for i in range(plan.closure_from[kind], plan.closure_from[kind + 1]):
        at, p = first + plan.closure_slot[i], spread(plan.closure_p[i])
        store(out, at, times_plus(p, load(space.symbols, plan.closure_symbol[i]), load(out, at)))


@compiled
def inside_leaf(plan: Plan, space: Space, start: int, scores: np.ndarray) -> None:
    """Computes beta of one word from the scores [leaf symbols * 8] of its leaf symbols."""
    cell, first = place(plan, 1, start)
    clear(space.beta, space.beta_exponent[cell], first, plan.slots[1])
    space.symbols[:] = 0.0
    for leaf in range(len(plan.leaf)):
        store(space.symbols, plan.leaf[leaf], load(scores, leaf))
    close(plan, plan.kind[1], space, space.beta, first)
    space.beta_exponent[cell, :] = 0
    normalise(space.beta, first, plan.slots[1], space.beta_exponent[cell], space.factor)


@compiled
def inside_cell(plan: Plan, space: Space, width: int, start: int) -> None:
    """Computes beta of a span of at least two words from beta of the spans within it."""
    cell, first = place(plan, width, start)
    count = plan.slots[width]
    clear(space.beta, space.beta_exponent[cell], first, count)
    begin, end = plan.split_from[width], plan.split_from[width + 1]
    run = end - begin if _together(plan, space, width, start) else 1
    for split in range(begin, end, max(run, 1)):
        _sum_splits(plan, space, width, start, split, split + run)
        merge(space, space.beta, space.beta_exponent[cell], first, count)


@compiled
def _together(plan: Plan, space: Space, width: int, start: int) -> bool:
    """Whether the exponents of all nonzero splits of a span differ by at most SLACK."""
    highest, lowest = space.factor, space.other
    highest[:], lowest[:] = DEAD, -DEAD
    for split in range(plan.split_from[width], plan.split_from[width + 1]):
        k = plan.split_left[split]
        left, right = place(plan, k, start)[0], place(plan, width - k, start + k)[0]
        for lane in range(LANES):
            exponent = space.beta_exponent[left, lane] + space.beta_exponent[right, lane]
            if exponent > ALIVE:
                highest[lane] = max(highest[lane], exponent)
                lowest[lane] = min(lowest[lane], exponent)
    together = True
    for lane in range(LANES):
        together &= highest[lane] - lowest[lane] <= SLACK
    return together


@compiled
def _sum_splits(plan: Plan, space: Space, width: int, start: int, begin: int, end: int) -> None:
    """Sets fresh and fresh_exponent to the contribution of the splits begin .. end - 1 to a span's beta."""
    kind, top = plan.kind[width], space.fresh_exponent
    top[:] = DEAD
    for split in range(begin, end):
        k = plan.split_left[split]
        left, right = place(plan, k, start)[0], place(plan, width - k, start + k)[0]
        for lane in range(LANES):
            top[lane] = max(top[lane], space.beta_exponent[left, lane] + space.beta_exponent[right, lane])
    for split in range(begin, end):
        k = plan.split_left[split]
        left, left_first = place(plan, k, start)
        right = place(plan, width - k, start + k)[0]
        for lane in range(LANES):
            exponent = space.beta_exponent[left, lane] + space.beta_exponent[right, lane]
            space.factor[lane] = exponent - top[lane] if exponent > ALIVE else DEAD
        powers_of_two(space.factor)
        scale_into(space.scaled_left, room_of(plan, k), space.beta, left_first, plan.slots[k], space.factor)
    space.pairs[: plan.num_pairs[kind] * LANES] = 0.0
    for block in range(blocks(plan, kind)):
        split = begin
        while split < end:
            if min(plan.alike_ahead[split], end - split) >= TOGETHER:
                _form_pairs_of_four(plan, space, split, block, width, start)
                split += TOGETHER
            else:
                k = plan.split_left[split]
                _form_pairs(plan, space, split, block, room_of(plan, k), place(plan, width - k, start + k)[1])
                split += 1
    _apply_rules(plan, kind, space)
    space.fresh[: plan.slots[width] * LANES] = 0.0
    close(plan, kind, space, space.fresh, 0)
    normalise(space.fresh, 0, plan.slots[width], top, space.factor)


@compiled
def _apply_rules(plan: Plan, kind: int, space: Space) -> None:
    """symbols[A] = sum_{B C} p(A -> B C) pairs[B C]; the rules of a parent are neighbours."""
    space.symbols[:] = 0.0
    at, end = plan.rule_from[kind], plan.rule_from[kind + 1]
    while at < end:
        parent, even, odd = number_at(plan.rule_parent, at), spread(0.0), spread(0.0)
        while at + 1 < end and number_at(plan.rule_parent, at + 1) == parent:
            even = _add_rule(plan, space, at, even)
            odd = _add_rule(plan, space, at + 1, odd)
            at += 2
        if at < end and number_at(plan.rule_parent, at) == parent:
            even = _add_rule(plan, space, at, even)
            at += 1
        store(space.symbols, parent, plus(odd, even))


@compiled
def _add_rule(plan: Plan, space: Space, at: int, total: Vector) -> Vector:
    p, pair = number_at(plan.rule_p, at), load(space.pairs, number_at(plan.rule_pair, at))
    together: Vector = times_plus(spread(p), pair, total)
    return together


@compiled
def blocks(plan: Plan, kind: int) -> int:
    """The number of blocks of pairs for a kind of width."""
    count: int = (plan.num_pairs[kind] + BLOCK - 1) // BLOCK
    return count


@compiled
def room_of(plan: Plan, k: int) -> int:
    """The offset in scaled_left and scaled_right of the split after k words."""
    return (k - 1) * plan.widest


@compiled
def _form_pairs_of_four(plan: Plan, space: Space, split: int, block: int, width: int, start: int) -> None:
    """`_form_pairs` for four splits with the same list. It reads and writes each sum once for all four."""
    k0, k1, k2, k3 = four(plan.split_left, split)
    left0, left1, left2, left3 = room_of(plan, k0), room_of(plan, k1), room_of(plan, k2), room_of(plan, k3)
    right0, right1 = place(plan, width - k0, start + k0)[1], place(plan, width - k1, start + k1)[1]
    right2, right3 = place(plan, width - k2, start + k2)[1], place(plan, width - k3, start + k3)[1]
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        slot = plan.run_left[run]
        a, b = load(space.scaled_left, left0 + slot), load(space.scaled_left, left1 + slot)
        c, d = load(space.scaled_left, left2 + slot), load(space.scaled_left, left3 + slot)
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair, right = pair_of(plan, i)
            total = times_plus(a, load_near(space.beta, right0, right), load_near(space.pairs, 0, pair))
            other = times(b, load_near(space.beta, right1, right))
            total = times_plus(c, load_near(space.beta, right2, right), total)
            other = times_plus(d, load_near(space.beta, right3, right), other)
            store_near(space.pairs, 0, pair, plus(total, other))


@compiled
def four(numbers: np.ndarray, first: int) -> tuple[int, int, int, int]:
    """Four consecutive entries of an array."""
    return numbers[first], numbers[first + 1], numbers[first + 2], numbers[first + 3]


@compiled
def pair_of(plan: Plan, i: int) -> tuple[int, int]:
    """The offsets of entry i of a list: (of its pair in the pairs of the width, of its right child in the slots)."""
    code = number_at(plan.code, i)
    return code >> CHILD_BITS, code & CHILD


@compiled
def _form_pairs(plan: Plan, space: Space, split: int, block: int, left_first: int, right_first: int) -> None:
    """pairs[B C] += left[B] right[C] for the pairs of a block, with left in scaled_left and right in beta."""
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        left = load(space.scaled_left, left_first + plan.run_left[run])
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair, right = pair_of(plan, i)
            total = times_plus(left, load_near(space.beta, right_first, right), load_near(space.pairs, 0, pair))
            store_near(space.pairs, 0, pair, total)
