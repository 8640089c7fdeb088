"""Plans: the symbols, splits and rules that a chart needs at each width, computed once per grammar and sentence length.

A plan keeps a symbol at a width if the symbol can yield that many words and a sentence of the wanted length can contain
it there. The kernels form only pairs of kept children with a kept parent. Widths that keep the same symbols share their
tables, so a plan stays small for lengths in the hundreds.
"""

from typing import NamedTuple

import numpy as np

from .kind_tables import kind_tables, of_all_kinds
from .ragged import joined, offsets
from .rule_tables import RuleTables
from .simd import LANES

BLOCK = 1024
"""The number of pairs whose sums stay in cache while a kernel loops over the splits of a span."""

CHILD_BITS = 32
"""A pair's number and the slot of its right child form one integer, (number << CHILD_BITS | slot) * LANES."""


class Plan(NamedTuple):
    """The arrays that the kernels read. Widths count from 1. A slot is a symbol that is kept at a width.

    An array x_from contains offsets into other arrays: entry i begins at x_from[i] and ends before x_from[i + 1]. Each
    split of a width uses one list of pairs. A list consists of blocks of at most BLOCK pairs: block b of list l is
    entry list_from[l] + b of `block_from`, which gives its runs. A run has one left child, and `run_from` gives its
    pairs. Widths of the same kind keep the same symbols, and share their rules and their closure.

    Args:
        length: the number of words of the longest sentence, T.
        step: the number of spans between neighbouring starts: 1, or 0 if all starts are alike.
        widest: the largest number of slots of any width.
        slots: the number of slots of a width, [T + 1].
        first_slot: where the scores of a width begin, [T + 2]; the last entry is the number of scores.
        first_cell: where the spans of a width begin, [T + 2]; the last entry is the number of spans.
        root_slot: the slot of the start symbol, [T + 1]; -1 if it is not kept.
        split_from: the splits of a width.
        split_left: the width of the left child of a split.
        split_list: the list of pairs that a split uses.
        alike_ahead: the number of consecutive splits of one width, from this one on, that use the same list.
        list_from: the blocks of a list.
        block_from: the runs of a block.
        run_left: the slot of the left child of a run.
        run_from: the pairs of a run.
        code: a pair's number at its width and the slot of its right child, as CHILD_BITS says.
        kind: the kind of a width, [T + 1].
        num_pairs: the pairs of a kind.
        rule_from: the rules of a kind, for the rules sorted by parent (rule_) and sorted by pair (down_).
        rule_pair: the pair of a rule, sorted by parent.
        rule_parent: its parent.
        rule_p: its probability.
        down_pair: the pair of a rule, sorted by pair.
        down_parent: its parent.
        down_p: its probability.
        closure_from: the entries of the closure of a kind.
        closure_slot: the slot at the top of a chain of unary rules.
        closure_symbol: the symbol at its bottom.
        closure_p: the sum of the probabilities of such chains.
        symbols_from: the symbols of a kind.
        symbols: the symbol in a slot.
        leaf: the symbols that emit words.
        num_symbols: N.
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


def make_plan(rules: RuleTables, kept: np.ndarray, alike: bool = False) -> Plan:
    """The plan for charts that keep these symbols.

    Args:
        rules: the grammar.
        kept: the symbols to keep at each width, [length + 1, N] bool.
        alike: True if all spans of a width have equal scores; the plan then has one start per width.

    Returns:
        The arrays that the kernels read.
    """
    length = len(kept) - 1
    starts = np.array([0] + [1 if alike else length - width + 1 for width in range(1, length + 1)])
    sets, kind = np.unique(kept, axis=0, return_inverse=True)
    kind = kind.reshape(-1)
    numbers = np.where(sets, sets.cumsum(1) - 1, -1)
    entries = np.nonzero(rules.closure > 0)
    tables = [kind_tables(rules, entries, members) for members in sets]
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
        first_slot=offsets(starts * slots),
        first_cell=offsets(starts),
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
        **of_all_kinds(tables),
        symbols_from=offsets(sets.sum(1).tolist()),
        symbols=joined([members.nonzero()[0] for members in sets]),
        leaf=np.array(rules.leaves),
        num_symbols=rules.num_symbols,
    )


def _splits(kept: np.ndarray, kind: np.ndarray, kinds: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The splits of all widths, sorted by width and key, so that splits with the same list of pairs are neighbours.

    Args:
        kept: the symbols that are kept at each width, [length + 1, N] bool.
        kind: the kind of each width, [length + 1].
        kinds: the number of kinds.

    Returns:
        The first split of each width, the width of the left child of each split, and the key of each split: an integer
        that encodes the kinds of the parent, the left child and the right child.
    """
    widths = [np.arange(1, max(width, 1)) for width in range(len(kept))]
    left = np.concatenate(widths)
    parent = np.repeat(np.arange(len(kept)), [len(some) for some in widths])
    keys = np.ravel_multi_index((kind[parent], kind[left], kind[parent - left]), (kinds,) * 3)
    order = np.lexsort((keys, parent))
    return offsets([len(some) for some in widths]), left[order], keys[order]


def _alike_ahead(split_from: np.ndarray, split_list: np.ndarray) -> np.ndarray:
    """For each split, the number of consecutive splits of its width, from it on, that use the same list of pairs."""
    ahead = np.ones(len(split_list), dtype=np.int64)
    first = np.zeros(len(split_list) + 1, dtype=bool)
    first[split_from] = True
    for split in range(len(split_list) - 2, -1, -1):
        if not first[split + 1] and split_list[split + 1] == split_list[split]:
            ahead[split] += ahead[split + 1]
    return ahead


def _pair_list(
    rules: RuleTables, pairs: np.ndarray, left_slots: np.ndarray, right_slots: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """The pairs of a width whose two children are both kept.

    Args:
        rules: the grammar.
        pairs: the pairs of the width.
        left_slots: the slot of each symbol at the width of the left child, [N]; -1 if it is not kept.
        right_slots: the same for the right child.

    Returns:
        The number of all pairs of the width, and the numbers, left slots and right slots of the kept pairs.
    """
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
    """Splits the lists into blocks and runs; see `Plan`. Pairs are sorted by their left child, so runs are long."""
    block_from, run_left, run_from, codes = [], [], [], []
    runs = entries = 0
    for num_pairs, number, left, right in lists:
        block = number // BLOCK
        begins = np.flatnonzero(np.diff(block * (left.max(initial=0) + 1) + left, prepend=-1))
        sizes = np.diff(begins, append=len(number))
        # Runs of equal length are neighbours, so the processor predicts where they end.
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
        offsets([len(part) for part in block_from]),
        joined(block_from),
        joined(run_left),
        joined([*run_from, np.array([entries])]),
        joined(codes),
    )
