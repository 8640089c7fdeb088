"""What a reader is to predict: words that are hidden from it, or the word that follows what it has read."""

import torch
from torch import Tensor

from ..errors import InputError, unknown

NEXT = "next"
"""Nothing is hidden: each word, and the sentence's end, is predicted from the words before it."""

MASKINGS = ("one", "bernoulli", NEXT)

RATE = 0.15
"""Of "bernoulli", unless given (Devlin et al. 2019)."""


def hide(lengths: Tensor, width: int, masking: str, generator: torch.Generator) -> Tensor:
    """hidden [n, width] bool, for sentences of lengths [n], drawn independently of the words.

    "one" hides one position of each sentence, uniformly (Liu et al. 2022, section 3); "bernoulli" or "bernoulli:p"
    hides every position with probability p, 0.15 unless given. Padding is never hidden.

    Raises InputError for any other masking, "next" among them.
    """
    kind, rate = read_masking(masking)
    if kind == NEXT:
        raise InputError(f"masking '{masking}' hides no word, expected one or bernoulli:p; choose one of these")
    positions = torch.arange(width, device=lengths.device)
    if kind == "one":
        uniform = torch.rand(len(lengths), generator=generator, dtype=torch.float64, device=lengths.device)
        chosen = torch.minimum((uniform * lengths).long(), lengths - 1)
        return positions == chosen[:, None]
    draws = torch.rand(len(lengths), width, generator=generator, dtype=torch.float64, device=lengths.device)
    return (draws < rate) & (positions < lengths[:, None])


def read_masking(masking: str) -> tuple[str, float]:
    """(its name in MASKINGS, the probability of hiding a word under "bernoulli"). Raises InputError for any other."""
    kind, given, rate = masking.partition(":")
    if kind not in MASKINGS or (kind != "bernoulli" and given):
        raise unknown("masking", masking, MASKINGS)
    return kind, _probability(rate, masking) if given else RATE


def _probability(text: str, masking: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    if not 0 < probability <= 1:
        raise InputError(f"masking '{masking}': expected bernoulli:p with 0 < p <= 1, for example bernoulli:{RATE:g}")
    return probability
