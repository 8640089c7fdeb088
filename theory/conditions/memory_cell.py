"""Recoverable memory: whether the words at one place tell what a memory that never changes holds.

A chain with memory is block-diagonal, a block for each content. Blocks of equal weights mu count as one content. Within
the blocks, state l emits by the row W_(b, l). The state is informative where its rows tell all contents apart.
"""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from .condition import Chain, Condition, Table, Verdict, conditions

RECOVERED = 1e-9
"""The least singular value that counts as independence."""


@conditions.register("memory-cell")
@dataclass(frozen=True)
class MemoryCell(Condition):
    """The rows C by which some informative state emits, one a content, are independent of each other and of the rest.

        rank W_C = |C|,  rank W_C + rank W_rest = rank W

    The number is the least singular value of (I - P) W_C^T, with P the projector on the span of the rest: it is
    positive if and only if both hold. The best informative state counts; `more` says which, counted from 1, and how
    many are recoverable. Without blocks there is no memory, and the number is 0.

    Source: Wei, Xie and Ma 2021, 2106.09226, memory-augmented HMMs, recoverability (wording as recalled).
    """

    order = 6

    @override
    def check(self, chain: Chain) -> Verdict:
        values = {state: recoverability(*rows) for state, rows in informative(chain).items()}
        best = max(values, key=lambda state: values[state], default=None)
        value = 0.0 if best is None else values[best]
        recovered = sum(one >= RECOVERED for one in values.values())
        follows = (
            "attention to the positions of that state reads the memory exactly"
            if recovered
            else "no single state tells the memory apart from all else"
        )
        more: dict[str, float | None] = {"state": None if best is None else best + 1}
        more |= {"informative": len(values), "recoverable": recovered}
        return Verdict("least singular value of the memory's rows beside all others", value, RECOVERED, follows, more)


def informative(chain: Chain) -> dict[int, tuple[Table, Table]]:
    """The states, within a block, whose emission tells all contents apart.

    Args:
        chain: block-diagonal where it has a memory.

    Returns:
        The state, counted from 0 -> (the different rows that it emits by [C, V], those of all other states [R, V]).
    """
    number, size = chain.blocks.shape[:2]
    if number == 1:
        return {}
    emission = chain.emission.reshape(number, size, -1)
    content = np.unique(chain.mu.reshape(number, size), axis=0, return_inverse=True)[1].ravel()
    found = {}
    for state in range(size):
        rows, kind = np.unique(emission[:, state], axis=0, return_inverse=True)
        kind = kind.ravel()
        if all(len(set(content[kind == k])) == 1 for k in range(len(rows))):
            found[state] = (rows, np.unique(np.delete(emission, state, 1).reshape(-1, emission.shape[2]), axis=0))
    return found


def recoverability(rows: Table, rest: Table) -> float:
    """The least singular value of what is left of the rows [C, V] beside the span of the rest [R, V]."""
    if len(rows) > rows.shape[1]:
        return 0.0
    _, values, right = np.linalg.svd(rest, full_matrices=False)
    span = right[values > max(rest.shape) * np.finfo(float).eps * values[0]] if len(rest) else right[:0]
    left = rows - rows @ span.T @ span
    return float(np.linalg.svd(left, compute_uv=False)[-1])
