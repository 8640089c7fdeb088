"""The outside pass as compiled code: each span passes its alpha down to the spans within it; see `inside`."""

import numpy as np

from .chart_plan import Plan
from .inside import SLACK, TOGETHER, Space, blocks, four, merge, pair_of, place, room_of
from .jit import compiled
from .simd import (
    ALIVE,
    DEAD,
    LANES,
    load,
    load_near,
    normalise,
    number_at,
    powers_of_two,
    scale_into,
    spread,
    store,
    store_near,
    times_plus,
)

EVERYWHERE = -1
"""Instead of a position: computes the outside scores of all spans, not only of those that contain a position."""


@compiled
def _open(plan: Plan, kind: int, space: Space, first: int) -> None:
    """symbols[B] = sum_A alpha[A] U[A, B]; U is the closure."""
    space.symbols[:] = 0.0
    for i in range(plan.closure_from[kind], plan.closure_from[kind + 1]):
        at, p = plan.closure_symbol[i], spread(plan.closure_p[i])
        alpha = load(space.alpha, first + plan.closure_slot[i])
        store(space.symbols, at, times_plus(p, alpha, load(space.symbols, at)))


@compiled
def outside_cell(plan: Plan, space: Space, width: int, start: int, focus: int) -> None:
    """Passes the alpha of a span down to the spans within it: to all, or to those that contain the position `focus`."""
    cell, first = place(plan, width, start)
    kind, exponents = plan.kind[width], space.alpha_exponent[cell]
    normalise(space.alpha, first, plan.slots[width], exponents, space.factor)
    if exponents.max() <= ALIVE:
        return
    _open(plan, kind, space, first)
    at, last = plan.rule_from[kind], plan.rule_from[kind + 1]
    while at < last:
        pair, total = number_at(plan.down_pair, at), spread(0.0)
        while at < last and number_at(plan.down_pair, at) == pair:
            alpha = load(space.symbols, number_at(plan.down_parent, at))
            total = times_plus(spread(number_at(plan.down_p, at)), alpha, total)
            at += 1
        store(space.pairs, pair, total)
    begin, end = plan.split_from[width], plan.split_from[width + 1]
    for split in range(begin, end):
        k = plan.split_left[split]
        left, right = (k, start), (width - k, start + k)
        for_left, for_right = focus < start + k, focus == EVERYWHERE or focus >= start + k
        space.wanted[k - 1, 0] = for_left and _offer(plan, space, exponents, split, left, right, space.scaled_right, k)
        space.wanted[k - 1, 1] = for_right and _offer(plan, space, exponents, split, right, left, space.scaled_left, k)
    for block in range(blocks(plan, kind)):
        split = begin
        while split < end:
            if min(plan.alike_ahead[split], end - split) >= TOGETHER and _all_wanted(plan, space, split):
                _give_both_of_four(plan, space, split, block, width, start)
                split += TOGETHER
                continue
            k = plan.split_left[split]
            left_first, right_first = place(plan, k, start)[1], place(plan, width - k, start + k)[1]
            if space.wanted[k - 1, 0] and space.wanted[k - 1, 1]:
                _give_both(plan, space, split, block, left_first, right_first, room_of(plan, k))
            elif space.wanted[k - 1, 0]:
                _give_left(plan, space, split, block, space.alpha, left_first, room_of(plan, k))
            elif space.wanted[k - 1, 1]:
                _give_right(plan, space, split, block, space.alpha, right_first, room_of(plan, k))
            split += 1


@compiled
def _all_wanted(plan: Plan, space: Space, split: int) -> bool:
    """Whether each of the next TOGETHER splits must still be added to both children."""
    wanted = True
    for i in range(split, split + TOGETHER):
        k = plan.split_left[i]
        wanted &= space.wanted[k - 1, 0] and space.wanted[k - 1, 1]
    return wanted


@compiled
def _offer(
    plan: Plan,
    space: Space,
    exponents: np.ndarray,
    split: int,
    child: tuple[int, int],
    sibling: tuple[int, int],
    scaled: np.ndarray,
    k: int,
) -> bool:
    """Writes the sibling's beta to `scaled`, at the scale of the child's alpha.

    If the two scales are too far apart for one sum, this function adds the contribution to alpha itself.

    Args:
        plan: the plan of the chart.
        space: the scores of the chart.
        exponents: the exponents of the parent's alpha, [8].
        split: the split of the parent.
        child: (width, start) of the child whose alpha is computed.
        sibling: (width, start) of the other child.
        scaled: scaled_right for a left child, scaled_left for a right child.
        k: the width of the left child.

    Returns:
        Whether the caller must still add the contribution; False also if there is none.
    """
    cell = place(plan, child[0], child[1])[0]
    sibling_cell, sibling_first = place(plan, sibling[0], sibling[1])
    mine, given = space.alpha_exponent[cell], space.fresh_exponent
    alive, together = False, True
    for lane in range(LANES):
        given[lane] = exponents[lane] + space.beta_exponent[sibling_cell, lane]
        if given[lane] > ALIVE:
            alive = True
            together &= mine[lane] <= ALIVE or abs(given[lane] - mine[lane]) <= SLACK
    if not alive:
        return False
    for lane in range(LANES):
        if together and given[lane] > ALIVE and mine[lane] <= ALIVE:
            mine[lane] = given[lane]
        reference = mine[lane] if together else given[lane]
        space.factor[lane] = given[lane] - reference if given[lane] > ALIVE else DEAD
    powers_of_two(space.factor)
    scale_into(scaled, room_of(plan, k), space.beta, sibling_first, plan.slots[sibling[0]], space.factor)
    if together:
        return True
    _add_apart(plan, space, split, child, sibling, k)
    return False


@compiled
def _add_apart(
    plan: Plan, space: Space, split: int, child: tuple[int, int], sibling: tuple[int, int], k: int
) -> None:  # fmt: skip
    """Adds a contribution at another scale, given in `fresh_exponent`, to the child's alpha."""
    cell, first = place(plan, child[0], child[1])
    mine, given = space.alpha_exponent[cell], space.fresh_exponent
    space.fresh[: plan.slots[child[0]] * LANES] = 0.0
    for block in range(blocks(plan, plan.kind[child[0] + sibling[0]])):
        if child[1] < sibling[1]:
            _give_left(plan, space, split, block, space.fresh, 0, room_of(plan, k))
        else:
            _give_right(plan, space, split, block, space.fresh, 0, room_of(plan, k))
    normalise(space.fresh, 0, plan.slots[child[0]], given, space.factor)
    # The sum of the other spans may be zero although its exponent is large.
    normalise(space.alpha, first, plan.slots[child[0]], mine, space.factor)
    merge(space, space.alpha, mine, first, plan.slots[child[0]])


@compiled
def _give_left(plan: Plan, space: Space, split: int, block: int, out: np.ndarray, first: int, room: int) -> None:
    """out[B] += sum_C pairs[B C] right[C] for the pairs of a block, with right in scaled_right."""
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        total = load(out, first + plan.run_left[run])
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair, right = pair_of(plan, i)
            total = times_plus(load_near(space.pairs, 0, pair), load_near(space.scaled_right, room, right), total)
        store(out, first + plan.run_left[run], total)


@compiled
def _give_right(plan: Plan, space: Space, split: int, block: int, out: np.ndarray, first: int, room: int) -> None:
    """out[C] += sum_B pairs[B C] left[B] for the pairs of a block, with left in scaled_left."""
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        left = load(space.scaled_left, room + plan.run_left[run])
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair, right = pair_of(plan, i)
            total = times_plus(load_near(space.pairs, 0, pair), left, load_near(out, first, right))
            store_near(out, first, right, total)


@compiled
def _give_both(
    plan: Plan, space: Space, split: int, block: int, left_first: int, right_first: int, room: int
) -> None:  # fmt: skip
    """`_give_left` and `_give_right` into alpha, in one pass over the pairs."""
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        left = load(space.scaled_left, room + plan.run_left[run])
        total = load(space.alpha, left_first + plan.run_left[run])
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair_at, right = pair_of(plan, i)
            pair = load_near(space.pairs, 0, pair_at)
            total = times_plus(pair, load_near(space.scaled_right, room, right), total)
            store_near(
                space.alpha, right_first, right, times_plus(pair, left, load_near(space.alpha, right_first, right))
            )
        store(space.alpha, left_first + plan.run_left[run], total)


@compiled
def _give_both_of_four(plan: Plan, space: Space, split: int, block: int, width: int, start: int) -> None:
    """`_give_both` for four splits with the same list. It reads each pair once for all four."""
    alpha, siblings = space.alpha, space.scaled_right
    k0, k1, k2, k3 = four(plan.split_left, split)
    room0, room1, room2, room3 = room_of(plan, k0), room_of(plan, k1), room_of(plan, k2), room_of(plan, k3)
    left0, left1 = place(plan, k0, start)[1], place(plan, k1, start)[1]
    left2, left3 = place(plan, k2, start)[1], place(plan, k3, start)[1]
    right0, right1 = place(plan, width - k0, start + k0)[1], place(plan, width - k1, start + k1)[1]
    right2, right3 = place(plan, width - k2, start + k2)[1], place(plan, width - k3, start + k3)[1]
    at = plan.list_from[plan.split_list[split]] + block
    for run in range(plan.block_from[at], plan.block_from[at + 1]):
        slot = plan.run_left[run]
        a, b = load(space.scaled_left, room0 + slot), load(space.scaled_left, room1 + slot)
        c, d = load(space.scaled_left, room2 + slot), load(space.scaled_left, room3 + slot)
        total0, total1 = load(alpha, left0 + slot), load(alpha, left1 + slot)
        total2, total3 = load(alpha, left2 + slot), load(alpha, left3 + slot)
        for i in range(plan.run_from[run], plan.run_from[run + 1]):
            pair_at, right = pair_of(plan, i)
            pair = load_near(space.pairs, 0, pair_at)
            total0 = times_plus(pair, load_near(siblings, room0, right), total0)
            store_near(alpha, right0, right, times_plus(pair, a, load_near(alpha, right0, right)))
            total1 = times_plus(pair, load_near(siblings, room1, right), total1)
            store_near(alpha, right1, right, times_plus(pair, b, load_near(alpha, right1, right)))
            total2 = times_plus(pair, load_near(siblings, room2, right), total2)
            store_near(alpha, right2, right, times_plus(pair, c, load_near(alpha, right2, right)))
            total3 = times_plus(pair, load_near(siblings, room3, right), total3)
            store_near(alpha, right3, right, times_plus(pair, d, load_near(alpha, right3, right)))
        store(alpha, left0 + slot, total0)
        store(alpha, left1 + slot, total1)
        store(alpha, left2 + slot, total2)
        store(alpha, left3 + slot, total3)


@compiled
def outside_leaf(plan: Plan, space: Space, start: int, exponents: np.ndarray) -> None:
    """symbols[B] * 2^exponents = the outside score of leaf symbol B at one word, before its unary rules."""
    cell, first = place(plan, 1, start)
    normalise(space.alpha, first, plan.slots[1], space.alpha_exponent[cell], space.factor)
    _open(plan, plan.kind[1], space, first)
    for lane in range(LANES):
        exponents[lane] = space.alpha_exponent[cell, lane]
