"""Chart passes over whole batches of sentences, on as many threads as torch uses.

Every pass takes leaf_scores [n, T, leaf symbols] in float64 and returns numpy arrays. A pass with lengths [n] needs a
plan for all lengths, and scores of 0 beyond the end of each sentence. Eight sentences then share one chart of the size
that the longest of them needs; each has its start symbol at its own length. The passes are fastest if neighbouring
sentences have similar lengths.
"""

import numpy as np

from .chart_plan import Plan
from .inside import Space, inside_cell, inside_leaf, make_space, place
from .jit import compiled, compiled_pass
from .outside import EVERYWHERE, outside_cell, outside_leaf
from .simd import DEAD, LANES, vectors
from .threads import in_parallel

TILE = 4
"""The number of span ends that are processed together."""

LOG_2 = float(np.log(2.0))


def inside(plan: Plan, leaf_scores: np.ndarray, lengths: np.ndarray | None = None) -> np.ndarray:
    """log P(A =>* all words) [n, symbols]; -inf for a symbol that cannot yield them or that the plan leaves out."""
    n, longest, _ = leaf_scores.shape
    out = np.full((n, plan.num_symbols), -np.inf)
    in_parallel(_inside, n, up_to(plan, longest), leaf_scores, _all(n, longest, lengths), out)
    return out


def inside_outside(
    plan: Plan, leaf_scores: np.ndarray, lengths: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inside score of each sentence and its gradient, from one inside and one outside pass.

    Returns:
        log Z [n], m [n, T, leaf symbols] and s [n, T] with dZ / d leaf_scores = m exp(s); m = 0 beyond the last word.
    """
    n, longest, leaves = leaf_scores.shape
    log_z, margins, log_scale = np.empty(n), np.zeros((n, longest, leaves)), np.zeros((n, longest))
    of = _all(n, longest, lengths)
    in_parallel(_inside_outside, n, up_to(plan, longest), leaf_scores, of, log_z, margins, log_scale)
    return log_z, margins, log_scale


def up_to(plan: Plan, length: int) -> Plan:
    """The part of a plan for all lengths that suffices for sentences of at most `length` words."""
    if length == plan.length:
        return plan
    starts = np.maximum(length + 1 - np.arange(length + 1), 0)
    starts[0] = 0
    first_slot, first_cell = (np.concatenate([[0], np.cumsum(n)]) for n in (starts * plan.slots[: length + 1], starts))
    return plan._replace(length=length, first_slot=first_slot, first_cell=first_cell)


def _all(n: int, longest: int, lengths: np.ndarray | None) -> np.ndarray:
    return np.full(n, longest) if lengths is None else lengths


def hidden_chart(plan: Plan, leaf_scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The chart of sentences whose words are all hidden. One start is enough, because all starts have equal scores.

    Args:
        plan: a plan made with alike=True.
        leaf_scores: the scores of a hidden word, [leaf symbols].

    Returns:
        beta [slots] and its exponents [widths], one per width.
    """
    return _hidden_chart(plan, leaf_scores)


@compiled
def _load(leaf_scores: np.ndarray, first: int, end: int, position: int, out: np.ndarray) -> None:
    """Fills `out` with the scores at one position of the sentences first .. first + 7.

    If there are fewer than eight, the last sentence is repeated.

    Args:
        leaf_scores: [n, T, leaf symbols].
        first: the first of the eight sentences.
        end: the index after the last sentence.
        position: the position of the word.
        out: [leaf symbols * 8].
    """
    for lane in range(LANES):
        row = min(first + lane, end - 1)
        for leaf in range(leaf_scores.shape[2]):
            out[leaf * LANES + lane] = leaf_scores[row, position, leaf]


@compiled_pass
def grow(plan: Plan, space: Space, leaf_scores: np.ndarray, first: int, last: int, length: int) -> None:
    """Computes beta for every span of the first `length` words of the sentences first .. first + 7."""
    scores = vectors(leaf_scores.shape[2], space.beta)
    for start in range(length):
        _load(leaf_scores, first, last, start, scores)
        inside_leaf(plan, space, start, scores)
    for begin in range(2, length + 1, TILE):
        # Spans that share a start or one of these few ends are read many times. This order keeps them in cache.
        for start in range(min(begin + TILE, length + 1) - 3, -1, -1):
            for end in range(max(begin, start + 2), min(begin + TILE, length + 1)):
                if plan.slots[end - start]:
                    inside_cell(plan, space, end - start, start)


@compiled
def hand_down(plan: Plan, space: Space, length: int) -> None:
    """Computes alpha for every span of the first `length` words, in the reverse order of `grow`."""
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
    """Sets alpha of the start symbol over all words of one sentence to 1, in a chart of zeros. Returns log Z."""
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
    """Computes beta, alpha and log Z for the sentences first .. first + 7.

    Returns:
        The length of the longest of these sentences.
    """
    rows = min(LANES, end - first)
    longest: int = lengths[first : first + rows].max()
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
