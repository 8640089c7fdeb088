"""The rules and the unary closure of a kind of widths. A `Plan` contains those of all kinds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .ragged import joined, offsets
from .rule_tables import RuleTables


class KindTables(NamedTuple):
    """The rules and the closure that produce a set of symbols: the arrays of `Plan` with these names, for one kind."""

    pairs: np.ndarray
    rule_pair: np.ndarray
    rule_parent: np.ndarray
    rule_p: np.ndarray
    closure_slot: np.ndarray
    closure_symbol: np.ndarray
    closure_p: np.ndarray


def kind_tables(rules: RuleTables, entries: tuple[np.ndarray, ...], members: np.ndarray) -> KindTables:
    """The pairs and rules that produce a set of symbols, and the closure from the rules' parents to these symbols.

    Args:
        rules: the grammar.
        entries: (rows, columns) of the positive entries of the closure.
        members: the set, [N] bool.

    Returns:
        The tables of the set.
    """
    here = members[entries[0]]
    row, symbol = entries[0][here], entries[1][here]
    made = np.zeros(rules.num_symbols, dtype=bool)
    made[symbol] = True
    used = made[rules.rule_parent]
    pairs, number = np.unique(rules.rule_pair[used], return_inverse=True)
    slot = (members.cumsum() - 1)[row]
    p = rules.closure[row, symbol]
    return KindTables(pairs, number.reshape(-1), rules.rule_parent[used], rules.rule_p[used], slot, symbol, p)


def of_all_kinds(tables: Sequence[KindTables]) -> dict[str, np.ndarray]:
    """The arrays of `Plan` that hold the rules and the closure of all kinds: name -> array."""
    by_pair = [np.argsort(table.rule_pair, kind="stable") for table in tables]
    return {
        "num_pairs": np.array([len(table.pairs) for table in tables]),
        "rule_from": offsets([len(table.rule_pair) for table in tables]),
        "rule_pair": joined([table.rule_pair for table in tables]),
        "rule_parent": joined([table.rule_parent for table in tables]),
        "rule_p": joined([table.rule_p for table in tables], np.float64),
        "down_pair": joined([table.rule_pair[order] for table, order in zip(tables, by_pair, strict=True)]),
        "down_parent": joined([table.rule_parent[order] for table, order in zip(tables, by_pair, strict=True)]),
        "down_p": joined([table.rule_p[order] for table, order in zip(tables, by_pair, strict=True)], np.float64),
        "closure_from": offsets([len(table.closure_slot) for table in tables]),
        "closure_slot": joined([table.closure_slot for table in tables]),
        "closure_symbol": joined([table.closure_symbol for table in tables]),
        "closure_p": joined([table.closure_p for table in tables], np.float64),
    }
