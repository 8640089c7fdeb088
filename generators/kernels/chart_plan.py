"""What a grammar can do at each width of a chart: the work that the kernel does, worked out once for a sentence length.

A symbol is kept at a width if it can yield that many words and if a sentence of the wanted length can hold it there. Only
pairs of children that are kept, and have a parent that is kept, are formed. Widths that keep the same symbols share
their tables, so a plan stays small for lengths in the hundreds.
"""

from typing import NamedTuple

import numpy as np

from .binary_rules import Rules
from .simd import LANES

BLOCK = 1024
"""Pairs whose sums stay in cache while the splits of a span go by."""

CHILD_BITS = 32
"""A pair's number and its right slot are read as one integer, (number << CHILD_BITS | slot) * LANES."""


class RuleTables(NamedTuple):
    """A binarised grammar as arrays. pairs [P]: each pair of children that some rule has; rules [R] name their pair."""

    num_symbols: int
    left: np.ndarray
    right: np.ndarray
    rule_pair: np.ndarray
    rule_parent: np.ndarray
    rule_p: np.ndarray
    leaves: np.ndarray
    closure: np.ndarray

    @classmethod
    def from_rules(cls, rules: Rules, leaves: list[int], closure: np.ndarray) -> "RuleTables":
        n = len(rules.symbols)
        parent, left, right = (np.array([rule[i] for rule in rules.binary], dtype=np.int64) for i in range(3))
        p = np.array([rule[3] for rule in rules.binary], dtype=np.float64)
        key, place = np.unique(parent * n * n + left * n + right, return_inverse=True)
        pairs, pair = np.unique(key % (n * n), return_inverse=True)
        totals = np.bincount(place, p, len(key)) if len(key) else np.zeros(0)
        return cls(n, pairs // n, pairs % n, pair, key // (n * n), totals, np.array(leaves), closure)


class Plan(NamedTuple):
    """The arrays that the kernel reads; widths index from 1. A slot is a symbol kept at a width.

    slots [length + 1]: how many a width has, `widest` at most. first_slot, first_cell: where a width's spans begin; step: between neighbouring starts,
    0 where all starts are alike. Splits of a width w lie in split_from[w] .. split_from[w + 1]: the left width and which
    list of pairs; alike_ahead counts the splits from one on that share its list. A list goes by blocks of pairs, and within by runs of pairs with the same left child: block b of list l has
    the runs block_from[list_from[l] + b] .. block_from[list_from[l] + b + 1], each with run_left, the child's slot, and its pairs
    in run_from[run] .. run_from[run + 1]: code is the pair's number at that width and its right child's slot.
    kind [length + 1]: which rules and which closure a width uses, in rule_from[kind] .. and closure_from[kind] ... The rules stand
    there twice, by parent for the way up (rule_) and by pair for the way down (down_).
    root_slot [length + 1]: the start symbol's slot, -1 where it is not kept.
    """

    length: int
    step: int
    widest: int
    slots: np.ndarray
    first_slot: np.ndarray
    first_cell: np.ndarray
    root_slot: np.ndarray
    split_from: np.ndarray
    split_left: np.ndarray
    split_list: np.ndarray
    alike_ahead: np.ndarray
    list_from: np.ndarray
    block_from: np.ndarray
    run_left: np.ndarray
    run_from: np.ndarray
    code: np.ndarray
    kind: np.ndarray
    num_pairs: np.ndarray
    rule_from: np.ndarray
    rule_pair: np.ndarray
    rule_parent: np.ndarray
    rule_p: np.ndarray
    down_pair: np.ndarray
    down_parent: np.ndarray
    down_p: np.ndarray
    closure_from: np.ndarray
    closure_slot: np.ndarray
    closure_symbol: np.ndarray
    closure_p: np.ndarray
    symbols_from: np.ndarray
    symbols: np.ndarray
    leaf: np.ndarray
    num_symbols: int


def feasible_widths(rules: RuleTables, emits: np.ndarray, max_length: int) -> np.ndarray:
    """[max_length + 1, N] bool: which symbols can yield w words at all; emits [leaves]: which leaf symbols have a word."""
    feasible = np.zeros((max_length + 1, rules.num_symbols), dtype=bool)
    top, bottom = np.nonzero(rules.closure > 0)
    made = np.zeros(rules.num_symbols, dtype=bool)
    made[rules.leaves[emits]] = True
    feasible[1, top[made[bottom]]] = True
    for width in range(2, max_length + 1):
        ways: np.ndarray = feasible[1:width][:, rules.left] & feasible[1:width][::-1][:, rules.right]
        possible: np.ndarray = np.any(ways, axis=0)
        made = np.zeros(rules.num_symbols, dtype=bool)
        made[rules.rule_parent[possible[rules.rule_pair]]] = True
        feasible[width, top[made[bottom]]] = True
    return feasible


def useful_widths(rules: RuleTables, feasible: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """[length + 1, N] bool: which symbols may span w words within what is wanted, roots [length + 1, N]; top down."""
    useful = roots.copy()
    top, bottom = np.nonzero(rules.closure > 0)
    for width in range(len(roots) - 1, 0, -1):
        useful[width, bottom[useful[width][top]]] = True
        pairs = np.zeros(len(rules.left), dtype=bool)
        pairs[rules.rule_pair[useful[width][rules.rule_parent]]] = True
        left, right = rules.left[pairs], rules.right[pairs]
        for k in range(1, width):
            ways = feasible[k, left] & feasible[width - k, right]
            useful[k, left[ways]] = True
            useful[width - k, right[ways]] = True
    return useful & feasible[: len(roots)]


def make_plan(rules: RuleTables, kept: np.ndarray, alike: bool = False) -> Plan:
    """The plan for the symbols kept [length + 1, N]; alike=True keeps one start, for sentences that look the same at each."""
    length = len(kept) - 1
    starts = np.array([0] + [1 if alike else length - width + 1 for width in range(1, length + 1)])
    sets, kind = np.unique(kept, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    numbers = np.where(sets, sets.cumsum(1) - 1, -1)
    entries = np.nonzero(rules.closure > 0)
    tables = [_rules_of(rules, entries, members) for members in sets]
    split_from, left_width, keys = _splits(kept, kind, len(sets))
    unique_keys, which = np.unique(keys, return_inverse=True)
    which = which.reshape(-1)
    triples = [np.unravel_index(key, (len(sets),) * 3) for key in unique_keys.tolist()]
    lists = _runs([_pair_list(rules, tables[up].pairs, numbers[left], numbers[right]) for up, left, right in triples])
    alive = lists.sizes[which] > 0
    removed = np.concatenate([[0], np.cumsum(~alive)])
    slots, split_from, split_list = kept.sum(1), split_from - removed[split_from], which[alive]
    return Plan(
        length=length,
        step=0 if alike else 1,
        widest=int(slots.max()),
        slots=slots,
        first_slot=_begins(starts * slots),
        first_cell=_begins(starts),
        root_slot=np.where(kept[:, 0], numbers[kind, 0], -1),
        split_from=split_from,
        split_left=left_width[alive],
        split_list=split_list,
        alike_ahead=_alike_ahead(split_from, split_list),
        list_from=lists.list_from,
        block_from=lists.block_from,
        run_left=lists.run_left,
        run_from=lists.run_from,
        code=lists.code,
        kind=kind,
        num_pairs=np.array([len(table.pairs) for table in tables]),
        rule_from=_offsets([len(table.rule_pair) for table in tables]),
        rule_pair=_joined([table.rule_pair for table in tables]),
        rule_parent=_joined([table.rule_parent for table in tables]),
        rule_p=_joined([table.rule_p for table in tables], np.float64),
        down_pair=_joined([np.sort(table.rule_pair) for table in tables]),
        down_parent=_joined([table.rule_parent[np.argsort(table.rule_pair, kind="stable")] for table in tables]),
        down_p=_joined([table.rule_p[np.argsort(table.rule_pair, kind="stable")] for table in tables], np.float64),
        closure_from=_offsets([len(table.slot) for table in tables]),
        closure_slot=_joined([table.slot for table in tables]),
        closure_symbol=_joined([table.symbol for table in tables]),
        closure_p=_joined([table.closure_p for table in tables], np.float64),
        symbols_from=_offsets(sets.sum(1).tolist()),
        symbols=_joined([members.nonzero()[0] for members in sets]),
        leaf=np.array(rules.leaves),
        num_symbols=rules.num_symbols,
    )


def _splits(kept: np.ndarray, kind: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first split of each width, left width of each split, key of each split: the kinds of parent, left and right).

    The splits of a width go by their keys, so that those with one list of pairs are neighbours.
    """
    widths = [np.arange(1, max(width, 1)) for width in range(len(kept))]
    left = np.concatenate(widths)
    parent = np.repeat(np.arange(len(kept)), [len(some) for some in widths])
    keys = np.ravel_multi_index((kind[parent], kind[left], kind[parent - left]), (kinds,) * 3)
    order = np.lexsort((keys, parent))
    return _offsets([len(some) for some in widths]), left[order], keys[order]


def _alike_ahead(split_from: np.ndarray, split_list: np.ndarray) -> np.ndarray:
    """How many splits of one width, from each on, have its list of pairs."""
    ahead = np.ones(len(split_list), dtype=np.int64)
    first = np.zeros(len(split_list) + 1, dtype=bool)
    first[split_from] = True
    for split in range(len(split_list) - 2, -1, -1):
        if not first[split + 1] and split_list[split + 1] == split_list[split]:
            ahead[split] += ahead[split + 1]
    return ahead


class _KindTables(NamedTuple):
    pairs: np.ndarray
    rule_pair: np.ndarray
    rule_parent: np.ndarray
    rule_p: np.ndarray
    slot: np.ndarray
    symbol: np.ndarray
    closure_p: np.ndarray


def _rules_of(rules: RuleTables, entries: tuple[np.ndarray, ...], members: np.ndarray) -> _KindTables:
    """The pairs and rules that make the members of a set, and the closure from what the rules make to the members.

    entries: (rows, columns) of what is above zero in the closure.
    """
    here = members[entries[0]]
    row, symbol = entries[0][here], entries[1][here]
    made = np.zeros(rules.num_symbols, dtype=bool)
    made[symbol] = True
    used = made[rules.rule_parent]
    pairs, number = np.unique(rules.rule_pair[used], return_inverse=True)
    slot = (members.cumsum() - 1)[row]
    p = rules.closure[row, symbol]
    return _KindTables(pairs, number.reshape(-1), rules.rule_parent[used], rules.rule_p[used], slot, symbol, p)


def _pair_list(
    rules: RuleTables, pairs: np.ndarray, left_slots: np.ndarray, right_slots: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """(pairs at the width, numbers, left slots, right slots) of those pairs that both sides keep."""
    left, right = left_slots[rules.left[pairs]], right_slots[rules.right[pairs]]
    here = ((left >= 0) & (right >= 0)).nonzero()[0]
    return len(pairs), here, left[here], right[here]


class _Lists(NamedTuple):
    sizes: np.ndarray
    list_from: np.ndarray
    block_from: np.ndarray
    run_left: np.ndarray
    run_from: np.ndarray
    code: np.ndarray


def _runs(lists: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]]) -> _Lists:
    """The lists cut into blocks and runs; see `Plan`. Pairs are numbered by their left child, so runs are long."""
    block_from, run_left, run_from, codes = [], [], [], []
    runs = entries = 0
    for num_pairs, number, left, right in lists:
        block = number // BLOCK
        begins = np.flatnonzero(np.diff(block * (left.max(initial=0) + 1) + left, prepend=-1))
        sizes = np.diff(begins, append=len(number))
        # Runs of one length follow one another: the processor then foresees where they end.
        order = np.lexsort((sizes, block[begins]))
        ends = sizes[order].cumsum()
        within = np.arange(len(number)) - np.repeat(ends - sizes[order], sizes[order])
        moved = np.repeat(begins[order], sizes[order]) + within
        block_from.append(runs + np.searchsorted(block[begins][order], np.arange(-(-num_pairs // BLOCK) + 1)))
        run_left.append(left[begins][order])
        run_from.append(entries + ends - sizes[order])
        codes.append(((number[moved] << CHILD_BITS) | right[moved]) * LANES)
        runs, entries = runs + len(begins), entries + len(number)
    return _Lists(
        np.array([len(number) for _, number, _, _ in lists], dtype=np.int64),
        _offsets([len(part) for part in block_from]),
        _joined(block_from),
        _joined(run_left),
        _joined([*run_from, np.array([entries])]),
        _joined(codes),
    )


def _begins(sizes: np.ndarray) -> np.ndarray:
    """Where each width's entries begin; sizes [length + 1] with none at width 0. The last number is the total."""
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _offsets(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _joined(parts: list[np.ndarray], dtype: type = np.int64) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
