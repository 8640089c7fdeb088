"""The forward-backward algorithm for a batch of chains (Rabiner 1989), rescaled at each step: no length underflows.

With e_t(k) the score of state k at step t, A the transition matrix and pi the start,

    pred_1 = pi,  pred_t = filt_{t-1} A,      filt_t = pred_t e_t / (its sum)
    back_T = 1,   back_{t-1} = A (e_t back_t) / (its sum)

where pred_t(k) = p(z_t = k | evidence before t), and d Z / d e_t is proportional to pred_t back_t. Blocks of a
block-diagonal A [B, k, k] are multiplied by themselves: O(K^2 / B) a step. Arrays are kept as [B, n, k] on the way.
"""

import torch
from torch import Tensor


def forward(initial: Tensor, blocks: Tensor, leaf_scores: Tensor) -> tuple[Tensor, list[Tensor]]:
    """(log Z [n], pred: T tensors [B, n, k]) for leaf_scores [n, T, K]; differentiable.

    log Z is -inf for impossible evidence.
    """
    scores = _by_block(leaf_scores, len(blocks))
    prediction = initial.reshape(len(blocks), 1, -1).expand(scores.shape[1:])
    predictions, log_z = [prediction], torch.zeros((), dtype=scores.dtype, device=scores.device)
    for t in range(len(scores)):
        joint = prediction * scores[t]
        total = joint.sum((0, 2))
        log_z = log_z + total.log()
        if t + 1 < len(scores):
            alive = torch.where(total > 0, total, 1.0)
            prediction = torch.bmm(joint / alive[:, None], blocks)
            predictions.append(prediction)
    return log_z, predictions


def forward_backward(initial: Tensor, blocks: Tensor, leaf_scores: Tensor) -> tuple[Tensor, Tensor]:
    """(log Z [n], m [n, T, K]) with m_t proportional to d Z / d e_t at each step."""
    n, length, states = leaf_scores.shape
    log_z, predictions = forward(initial, blocks, leaf_scores)
    scores, reverse = _by_block(leaf_scores, len(blocks)), blocks.transpose(1, 2)
    margins = torch.empty(length, len(blocks), n, states // len(blocks), dtype=scores.dtype, device=scores.device)
    margins[-1] = predictions[-1]
    back = None
    for t in range(length - 1, 0, -1):
        back = torch.bmm(scores[t] if back is None else scores[t] * back, reverse)
        total = back.sum((0, 2))
        back = back / torch.where(total > 0, total, 1.0)[:, None]
        torch.mul(predictions[t - 1], back, out=margins[t - 1])
    return log_z, margins.permute(2, 0, 1, 3).reshape(n, length, states)


def _by_block(leaf_scores: Tensor, blocks: int) -> Tensor:
    """[n, T, K] -> [T, B, n, k], contiguous."""
    n, length, states = leaf_scores.shape
    return leaf_scores.reshape(n, length, blocks, states // blocks).permute(1, 2, 0, 3).contiguous()
