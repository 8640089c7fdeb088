"""Maskings: which words a model predicts, either hidden words or the next word."""

import torch
from torch import Tensor

from ..errors import InputError, a_text, unknown

NEXT = "next"
"""The masking that hides nothing: each word, and the sentence's end, is predicted from the words before it."""

MASKINGS = ("one", "bernoulli", NEXT)

RATE = 0.15
"""The default probability of hiding a word under "bernoulli" (Devlin et al. 2019)."""


def hide(lengths: Tensor, width: int, masking: str, generator: torch.Generator) -> Tensor:
    """Random positions to hide, independent of the words. Padding is never hidden.

    Args:
        lengths: the lengths of the sentences, [n].
        width: the number of columns of the result.
        masking: "one" hides one uniformly random position of each sentence (Liu et al. 2022, section 3). "bernoulli:p"
            hides each position independently with probability p; "bernoulli" means p = 0.15.
        generator: the source of random numbers.

    Returns:
        [n, width] bool, True where the word is hidden.

    Raises:
        InputError: for any other masking, including "next".
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
    """Parses the text of a masking.

    Args:
        masking: "one", "bernoulli", "bernoulli:p" or "next".

    Returns:
        Its name in MASKINGS, and the probability of hiding a word under "bernoulli".

    Raises:
        InputError: for another text.
    """
    kind, given, rate = a_text("masking", masking).partition(":")
    if kind not in MASKINGS or (kind != "bernoulli" and given):
        raise InputError(str(unknown("masking", masking, MASKINGS)))
    return kind, _probability(rate, masking) if given else RATE


def _probability(text: str, masking: str) -> float:
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    if not 0 < probability <= 1:
        raise InputError(f"masking '{masking}': expected bernoulli:p with 0 < p <= 1, for example bernoulli:{RATE:g}")
    return probability
