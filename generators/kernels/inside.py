"""The inside pass as compiled code: eight sentences side by side, their charts in cache.

The recursions are those of `chart`, over the tables of `chart_plan`. A cell is a span; its scores are values [slots, 8] times
2^exponent, an exponent for each sentence, so that no length underflows. Where the parts of a sum have exponents further
apart than SLACK, each part is brought to its true size before it is added: a part that could have been large, but is zero,
then hides nothing.
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
"""Powers of two by which the parts of one sum may differ before they are looked at one by one."""

TOGETHER = 4
"""Splits with one list of pairs that are worked on together."""

CHILD = (1 << CHILD_BITS) - 1


class Space(NamedTuple):
    """The charts of eight sentences, beta and alpha [slots * 8] with exponents [cells, 8], and room for sums in the making."""

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
    """out[A] += sum_B U[A, B] symbols[B] for the kept symbols A."""
    for i in range(plan.closure_from[kind], plan.closure_from[kind + 1]):
        at, p = first + plan.closure_slot[i], spread(plan.closure_p[i])
        store(out, at, times_plus(p, load(space.symbols, plan.closure_symbol[i]), load(out, at)))


@compiled
def inside_leaf(plan: Plan, space: Space, start: int, scores: np.ndarray) -> None:
    """beta of one word from the scores [leaf symbols * 8] of its leaf symbols."""
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
    """beta of a span of two words or more from those of the spans within it."""
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
    """Whether all splits of a span that may count are of about one size."""
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
    """fresh, fresh_exponent = the part of a span's beta that comes from the splits begin .. end - 1."""
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
    """symbols[A] = sum_{B C} p(A -> B C) pairs[B C]; the rules of a parent stand together."""
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
    return times_plus(spread(number_at(plan.rule_p, at)), load(space.pairs, number_at(plan.rule_pair, at)), total)


@compiled
def blocks(plan: Plan, kind: int) -> int:
    return (plan.num_pairs[kind] + BLOCK - 1) // BLOCK


@compiled
def room_of(plan: Plan, k: int) -> int:
    """Where scaled_left and scaled_right keep the split after k words."""
    return (k - 1) * plan.widest


@compiled
def _form_pairs_of_four(plan: Plan, space: Space, split: int, block: int, width: int, start: int) -> None:
    """`_form_pairs` for four splits with one list: a sum in the making is read and written once for all."""
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
    return numbers[first], numbers[first + 1], numbers[first + 2], numbers[first + 3]


@compiled
def pair_of(plan: Plan, i: int) -> tuple[int, int]:
    """Where a pair and its right child lie among the numbers of a width's pairs and of a span."""
    code = number_at(plan.code, i)
    return code >> CHILD_BITS, code & CHILD


@compiled
def _form_pairs(plan: Plan, space: Space, split: int, block: int, left_first: int, right_first: int) -> None:
    """pairs[B C] += left[B] right[C] for the pairs of a block, left from scaled_left, right from beta."""
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        left = load(space.scaled_left, left_first + plan.run_left[run])
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair, right = pair_of(plan, i)
            total = times_plus(left, load_near(space.beta, right_first, right), load_near(space.pairs, 0, pair))
            store_near(space.pairs, 0, pair, total)
