"""The forward-backward algorithm as compiled code; `hmm.forward_backward` states its recursions.

A vector holds one number for each of several sentences: eight in float64, sixteen in float32. Every step is rescaled so
that its largest number is about 1. Matrices [B, k, m] hold the blocks of the chain, with their columns padded by zeros
to m, a multiple of COLUMNS. The states are padded likewise.
"""

import numpy as np
import torch
from torch import Tensor

from .jit import compiled, compiled_pass
from .simd import WIDTH, larger, load, number_at, plus, spread, store, times, times_plus, vectors
from .threads import in_parallel

COLUMNS = 8
"""The number of sums that a multiplication keeps in registers."""


def compiled_forward_backward(initial: Tensor, blocks: Tensor, leaf_scores: Tensor) -> tuple[Tensor, Tensor]:
    """log Z and its gradient for leaf_scores [n, T, K].

    Returns:
        log Z [n] float64, and m [n, T, K] in the precision of the scores, with m_t proportional to dZ / de_t.
    """
    log_z, margins = torch.empty(len(leaf_scores), dtype=torch.float64), torch.empty_like(leaf_scores)
    chain = _padded_chain(initial, blocks, leaf_scores.dtype)
    scores = leaf_scores.contiguous().numpy()
    in_parallel(_margins, len(leaf_scores), *chain, scores, log_z.numpy(), margins.numpy())
    return log_z, margins


def compiled_conditionals(initial: Tensor, blocks: Tensor, emission: Tensor, words: Tensor, out: Tensor) -> Tensor:
    """p(x_t | the other words) for every position, written to `out` in its own precision.

    Args:
        initial: p(z_1), [K].
        blocks: the blocks of the transition matrix, [B, k, k].
        emission: [K, V], or [B, K/B, V/B] if it is block-diagonal like the chain.
        words: [n, T]; V means a hidden word.
        out: [n, T, V], overwritten. Its values are meaningless if log Z is -inf or nan.

    Returns:
        log Z [n] float64; nan if the precision of `out` does not suffice for the sentence.
    """
    kind, log_z = out.dtype, torch.empty(len(words), dtype=torch.float64)
    start, onward, backward = _padded_chain(initial, blocks, kind)
    count, size, _ = blocks.shape
    rows = emission if emission.dim() == 3 else _pad_states(emission.T, count, size).T[None]
    shares = torch.nn.functional.pad(rows, (0, -rows.shape[2] % COLUMNS)).to(kind).contiguous()
    dense = torch.block_diag(*emission) if emission.dim() == 3 else emission
    seen = torch.cat([dense.T, dense.sum(1)[None]])
    scores = _pad_states(seen, count, size).to(kind).contiguous()
    arrays = (start, onward, backward, shares.numpy(), rows.shape[2], scores.numpy(), words.contiguous().numpy())
    in_parallel(_conditionals, len(words), *arrays, log_z.numpy(), out.numpy())
    return log_z


def _padded_chain(initial: Tensor, blocks: Tensor, kind: torch.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count, size, _ = blocks.shape
    padding = (0, -size % COLUMNS)
    start = _pad_states(initial[None], count, size)[0]
    both = [torch.nn.functional.pad(matrix, padding) for matrix in (blocks, blocks.transpose(1, 2))]
    onward, backward = (matrix.to(kind).contiguous().numpy() for matrix in both)
    return start.to(kind).numpy(), onward, backward


def _pad_states(rows: Tensor, count: int, size: int) -> Tensor:
    """[r, count * size] -> [r, count * (size padded to COLUMNS)]."""
    return torch.nn.functional.pad(rows.reshape(len(rows), count, size), (0, -size % COLUMNS)).flatten(1)


@compiled
def _multiply(out: np.ndarray, to: int, x: np.ndarray, at: int, matrices: np.ndarray) -> None:
    """out[to + j] = sum_i x[at + i] matrices[b, i, j] for rows i and columns j of each block b; x has padded rows."""
    count, rows, columns = matrices.shape
    stride = rows + -rows % COLUMNS
    zero = spread(matrices[0, 0, 0] - matrices[0, 0, 0])
    for b in range(count):
        for j in range(0, columns, COLUMNS):
            s0, s1, s2, s3, s4, s5, s6, s7 = zero, zero, zero, zero, zero, zero, zero, zero
            for i in range(rows):
                value, entry = load(x, at + b * stride + i), (b * rows + i) * columns + j
                s0 = times_plus(value, spread(number_at(matrices, entry)), s0)
                s1 = times_plus(value, spread(number_at(matrices, entry + 1)), s1)
                s2 = times_plus(value, spread(number_at(matrices, entry + 2)), s2)
                s3 = times_plus(value, spread(number_at(matrices, entry + 3)), s3)
                s4 = times_plus(value, spread(number_at(matrices, entry + 4)), s4)
                s5 = times_plus(value, spread(number_at(matrices, entry + 5)), s5)
                s6 = times_plus(value, spread(number_at(matrices, entry + 6)), s6)
                s7 = times_plus(value, spread(number_at(matrices, entry + 7)), s7)
            here = to + b * columns + j
            store(out, here, s0)
            store(out, here + 1, s1)
            store(out, here + 2, s2)
            store(out, here + 3, s3)
            store(out, here + 4, s4)
            store(out, here + 5, s5)
            store(out, here + 6, s6)
            store(out, here + 7, s7)


@compiled_pass
def _rescale(values: np.ndarray, count: int, factor: np.ndarray) -> None:
    """Sets `factor` to the inverse of each lane's largest value and multiplies by it; a lane of zeros by 1."""
    top = load(values, 0)
    for i in range(1, count):
        top = larger(load(values, i), top)
    store(factor, 0, top)
    most = 2.0**1023 if values.itemsize == 8 else 2.0**127
    for lane in range(len(factor)):
        factor[lane] = min(1 / factor[lane], most) if factor[lane] > 0 else 1
    by = load(factor, 0)
    for i in range(count):
        store(values, i, times(load(values, i), by))


@compiled_pass
def _forward_backward(
    start: np.ndarray,
    onward: np.ndarray,
    backward: np.ndarray,
    scores: np.ndarray,
    margins: np.ndarray,
    log_z: np.ndarray,
) -> None:
    """Computes margins [T * states, lanes] and log_z [lanes] from scores [T * states, lanes]."""
    padded, lanes = len(start), len(log_z)
    length = len(scores) // (padded * lanes)
    joint, back, factor = vectors(padded, scores), vectors(padded, scores), vectors(1, scores)
    for state in range(padded):
        store(margins, state, spread(start[state]))
    log_z[:] = 0.0
    for t in range(length):
        for state in range(padded):
            here = t * padded + state
            store(joint, state, times(load(margins, here), load(scores, here)))
        _rescale(joint, padded, factor)
        for lane in range(lanes):
            log_z[lane] -= np.log(np.float64(factor[lane]))
        if t + 1 < length:
            _multiply(margins, (t + 1) * padded, joint, 0, onward)
    for lane in range(lanes):
        total = 0.0
        for state in range(padded):
            total += joint[state * lanes + lane]
        log_z[lane] += np.log(total) if total > 0 else -np.inf
    for t in range(length - 2, -1, -1):
        for state in range(padded):
            value = load(scores, (t + 1) * padded + state)
            store(joint, state, times(value, load(back, state)) if t + 2 < length else value)
        _rescale(joint, padded, factor)
        _multiply(back, 0, joint, 0, backward)
        for state in range(padded):
            here = t * padded + state
            store(margins, here, times(load(margins, here), load(back, state)))


@compiled_pass
def _margins(
    start: np.ndarray,
    onward: np.ndarray,
    backward: np.ndarray,
    leaf_scores: np.ndarray,
    log_z: np.ndarray,
    out: np.ndarray,
    begin: int,
    end: int,
) -> None:
    _, length, states = leaf_scores.shape
    size, block, lanes = onward.shape[1], onward.shape[2], WIDTH // leaf_scores.itemsize
    scores, margins = vectors(length * len(start), leaf_scores), vectors(length * len(start), leaf_scores)
    logs = np.empty(lanes)
    for first in range(begin, end, lanes):
        for t in range(length):
            for lane in range(lanes):
                row = min(first + lane, end - 1)
                for state in range(states):
                    place = t * len(start) + state // size * block + state % size
                    scores[place * lanes + lane] = leaf_scores[row, t, state]
        _forward_backward(start, onward, backward, scores, margins, logs)
        log_z[first : min(first + lanes, end)] = logs[: end - first]
        for t in range(length):
            for lane in range(min(lanes, end - first)):
                for state in range(states):
                    place = t * len(start) + state // size * block + state % size
                    out[first + lane, t, state] = margins[place * lanes + lane]


@compiled_pass
def _conditionals(
    start: np.ndarray,
    onward: np.ndarray,
    backward: np.ndarray,
    emission: np.ndarray,
    share: int,
    word_scores: np.ndarray,
    words: np.ndarray,
    log_z: np.ndarray,
    out: np.ndarray,
    begin: int,
    end: int,
) -> None:
    length, padded, lanes = words.shape[1], len(start), WIDTH // out.itemsize
    scores, margins, logs = vectors(length * padded, out), vectors(length * padded, out), np.empty(lanes)
    joint, total = vectors(emission.shape[0] * emission.shape[2], out), vectors(1, out)
    for first in range(begin, end, lanes):
        for t in range(length):
            for lane in range(lanes):
                source = word_scores[words[min(first + lane, end - 1), t]]
                for state in range(padded):
                    scores[(t * padded + state) * lanes + lane] = source[state]
        _forward_backward(start, onward, backward, scores, margins, logs)
        log_z[first : min(first + lanes, end)] = logs[: end - first]
        for t in range(length):
            _emit(joint, margins, t * padded, emission, total)
            for lane in range(min(lanes, end - first)):
                if total[lane] == 0 and log_z[first + lane] > -np.inf:
                    log_z[first + lane] = np.nan
                place = out[first + lane, t]
                for block in range(emission.shape[0]):
                    for word in range(share):
                        value = joint[(block * emission.shape[2] + word) * lanes + lane]
                        place[block * share + word] = value * total[lane]


@compiled
def _emit(joint: np.ndarray, margins: np.ndarray, at: int, emission: np.ndarray, inverse: np.ndarray) -> None:
    """joint[v] = sum_k margins[at + k] emission[k, v]; inverse = 1 / sum_v joint[v], or 0 if precision is lost."""
    _multiply(joint, 0, margins, at, emission)
    total = load(joint, 0)
    for word in range(1, len(joint) // len(inverse)):
        total = plus(load(joint, word), total)
    store(inverse, 0, total)
    # The terms of a smaller sum have lost precision.
    least = 2.0**-960 if inverse.itemsize == 8 else 2.0**-100
    for lane in range(len(inverse)):
        inverse[lane] = 1 / inverse[lane] if least <= inverse[lane] < np.inf else 0
