"""The loss floor of a language: the entropy of its true conditionals, the lowest loss that a model can reach."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from ..errors import InputError
from ..estimate import Estimate
from .masking import NEXT, hide
from .sentences import Sentences

SAMPLE_CHUNK = 4096
"""The largest number of sentences sampled at a time."""


class Exact(Protocol):
    """The methods of a language that the loss floor needs; see `Language`."""

    max_length: int
    positions_share_passes: bool

    @property
    def vocab_size(self) -> int:
        """V, the number of words."""

    def sample(self, num_sentences: int, generator: torch.Generator, latents: bool) -> Sentences:
        """Independent sentences."""

    def conditional(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The conditionals at all positions, each given all other words."""

    def conditional_at(self, tokens: Tensor, lengths: Tensor, hidden: Tensor) -> Tensor:
        """The conditionals at the hidden positions."""

    def next_word(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The conditionals of each next word, including the end."""


def loss_floor(
    language: Exact,
    num_sentences: int,
    generator: torch.Generator,
    masking: str,
    most_numbers: int,
    on_sentences: Callable[[int], object],
) -> Estimate:
    """The mean entropy of the true conditionals over sampled sentences; see `Language.loss_floor`.

    Args:
        language: the language.
        num_sentences: the number of sampled sentences, at least 1.
        generator: on the language's device.
        masking: "one", "bernoulli:p" or "next".
        most_numbers: the number of float64 values that may be held at a time.
        on_sentences: called with k when k more sentences are done.

    Returns:
        The estimate in nats per prediction.

    Raises:
        InputError: if the masking hid no word.
    """
    sums, counts = [], []
    chunk = max(1, min(SAMPLE_CHUNK, most_numbers // (4 * language.max_length * language.vocab_size)))
    chunk = chunk if language.positions_share_passes or masking == NEXT else 1
    for begin in range(0, num_sentences, chunk):
        size = min(chunk, num_sentences - begin)
        sentences = language.sample(size, generator, latents=False)
        entropies, predictions = entropies_of_truth(language, sentences, masking, generator)
        sums.append(entropies)
        counts.append(predictions)
        on_sentences(size)
    if float(torch.cat(counts).sum()) == 0:
        raise InputError(
            f"masking '{masking}' hid no word in {num_sentences} sentences; use more sentences, or hide more words"
        )
    return Estimate.from_ratio(torch.cat(sums), torch.cat(counts))


def entropies_of_truth(
    language: Exact, sentences: Sentences, masking: str, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """(sum of the true conditionals' entropies in nats, number of predictions) for each sentence, [n] float64 each."""
    tokens, lengths = sentences.tokens, sentences.lengths
    if masking == NEXT:
        return torch.special.entr(language.next_word(tokens, lengths)).sum((1, 2)), (lengths + 1).double()
    if masking == "one" and language.positions_share_passes:
        # The conditional at t ignores the word at t, which is the same as hiding it, so one pass serves all positions.
        entropy = torch.special.entr(language.conditional(tokens, lengths)).sum(-1)
        mean = entropy.sum(1) / lengths
        return mean, torch.ones_like(mean)
    hidden = hide(lengths, tokens.shape[1], masking, generator)
    entropy = torch.special.entr(language.conditional_at(tokens, lengths, hidden)).sum(-1)
    per_row = torch.zeros(len(tokens), dtype=torch.float64, device=tokens.device)
    return per_row.index_add(0, hidden.nonzero()[:, 0], entropy), hidden.sum(1).double()
