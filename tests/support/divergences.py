"""KL(truth || model) as plain loops."""

import math

import numpy as np


def plain_divergences(model, held_out):
    """KL(truth || model) at each hidden position, sentence by sentence and word by word."""
    batch, out = held_out.batch, []
    for i, (row, position) in enumerate(zip(batch.rows, batch.positions, strict=True)):
        tokens = batch.inputs[row : row + 1]
        scores = model(tokens[:, : int((tokens != model.pad_id).sum())])[0, position].tolist()
        top = max(scores)
        normaliser = top + math.log(math.fsum(math.exp(s - top) for s in scores))
        truth = held_out.truth[i].tolist()
        out.append(math.fsum(p * (math.log(p) - s + normaliser) for p, s in zip(truth, scores, strict=True) if p > 0))
    return np.array(out)
