"""Which positions of a sentence are hidden from the reader."""

import torch
from torch import Tensor

from ..errors import InputError, unknown

MASKINGS = ("one", "bernoulli")


def hide(lengths: Tensor, width: int, masking: str, generator: torch.Generator) -> Tensor:
    """hidden [n, width] bool, for sentences of lengths [n], drawn independently of the words.

    "one" hides one position of each sentence, uniformly (Liu et al. 2022, section 3); "bernoulli" or "bernoulli:p" hides
    every position with probability p, 0.15 unless given. Padding is never hidden.

    Raises InputError for any other masking.
    """
    kind, _, rate = masking.partition(":")
    if kind not in MASKINGS or (kind == "one" and rate):
        raise unknown("masking", masking, MASKINGS)
    positions = torch.arange(width, device=lengths.device)
    if kind == "one":
        uniform = torch.rand(len(lengths), generator=generator, dtype=torch.float64, device=lengths.device)
        chosen = torch.minimum((uniform * lengths).long(), lengths - 1)
        return positions == chosen[:, None]
    probability = _probability(rate or "0.15", masking)
    draws = torch.rand(len(lengths), width, generator=generator, dtype=torch.float64, device=lengths.device)
    return (draws < probability) & (positions < lengths[:, None])


def _probability(text: str, masking: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    if not 0 < probability <= 1:
        raise InputError(f"masking '{masking}': expected bernoulli:p with 0 < p <= 1, for example bernoulli:0.15")
    return probability
