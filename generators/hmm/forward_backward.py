"""The forward-backward algorithm for a batch of chains (Rabiner 1989), rescaled at each step against underflow.

Let e_t(k) be the score of state k at step t, A the transition matrix and pi the start. Then

    pred_1 = pi,  pred_t = filt_{t-1} A,      filt_t = pred_t e_t / (its sum)
    back_T = 1,   back_{t-1} = A (e_t back_t) / (its sum)

where pred_t(k) = p(z_t = k | evidence before t), and dZ / d e_t is proportional to pred_t back_t. A block-diagonal A
[B, k, k] is multiplied block by block, which costs O(K^2 / B) a step. Intermediate arrays have the shape [B, n, k].
"""

import torch
from torch import Tensor


def forward(initial: Tensor, blocks: Tensor, leaf_scores: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The forward pass; differentiable.

    Args:
        initial: pi [K].
        blocks: A [B, K/B, K/B].
        leaf_scores: e [n, T, K].

    Returns:
        (log Z [n], -inf for impossible evidence; pred, T tensors [B, n, K/B]).
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
    """Takes the arguments of `forward`. Returns (log Z [n], m [n, T, K]) with m_t proportional to dZ / d e_t."""
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
