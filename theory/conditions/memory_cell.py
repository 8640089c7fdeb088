"""Recoverable memory: whether the word at one position determines the content of a memory that never changes.

A chain with memory is block-diagonal, with a block for each content of the memory. Blocks with equal weights mu count
as one content. In block b, state l emits words with the row W_(b, l). A state l is informative if its rows distinguish
all contents.
"""

from dataclasses import dataclass

import numpy as np
from typing_extensions import override

from .condition import Chain, Condition, Table, Verdict, conditions

RECOVERED = 1e-9
"""The least singular value for which rows count as independent."""


@conditions.register("memory-cell")
@dataclass(frozen=True)
class MemoryCell(Condition):
    """The emission rows C of some informative state are independent of each other and of all other states' rows.

        rank W_C = |C|,  rank W_C + rank W_rest = rank W

    The number is the least singular value of (I - P) W_C^T, with P the projector on the span of the other rows. It is
    positive if and only if both equations hold. The number is that of the best informative state, which `more` names,
    counted from 1, together with the number of recoverable states. Without blocks there is no memory, and the number
    is 0.

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
            else "no single state determines the memory"
        )
        more: dict[str, float | None] = {"state": None if best is None else best + 1}
        more |= {"informative": len(values), "recoverable": recovered}
        return Verdict(
            "least singular value of the memory's rows, the span of all others removed", value, RECOVERED, follows, more
        )


def informative(chain: Chain) -> dict[int, tuple[Table, Table]]:
    """The states within a block whose emission rows distinguish all contents.

    Args:
        chain: a chain, block-diagonal if it has a memory.

    Returns:
        State, counted from 0 -> (its distinct emission rows [C, V], those of all other states [R, V]).
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
    """The least singular value of the rows [C, V] after removal of their components in the span of the rest [R, V]."""
    if len(rows) > rows.shape[1]:
        return 0.0
    _, values, right = np.linalg.svd(rest, full_matrices=False)
    span = right[values > max(rest.shape) * np.finfo(float).eps * values[0]] if len(rest) else right[:0]
    left = rows - rows @ span.T @ span
    return float(np.linalg.svd(left, compute_uv=False)[-1])
