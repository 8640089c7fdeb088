"""The look-up table: the language itself as a model. Its KL is zero, and its features are the exact conditionals.

A probe on these features shows what a perfect model must know, independently of how a network represents it (Liu et
al. 2022, section 3).
"""

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from ...errors import InputError
from ...generators import Language
from ..interface import LanguageModel
from .base import Count, Network, networks


class LookupTable(LanguageModel):
    """features(x)_t = p(x_t = . | the visible words other than the one at t), V numbers per position.

    The logits are the logarithms of the features.
    """

    per_example_gradients = False

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.language = language
        self.name, self.vocab_size, self.max_length = "lookup", language.vocab_size, language.max_length
        self.feature_size = language.vocab_size

    @override
    def features(self, tokens: Tensor) -> Tensor:
        """The conditionals [n, T, V] float64. Raises InputError for a sentence that the language cannot produce."""
        lengths = (tokens != self.pad_id).sum(1)
        return self.language.conditional(tokens, lengths, tokens == self.mask_id)

    @override
    def logits(self, features: Tensor) -> Tensor:
        """Computes log p, which is -inf if the true probability is zero."""
        return features.log()


@networks.register("lookup")
@dataclass(frozen=True)
class LookupNetwork(Network):
    """The look-up table. It has no settings and no parameters."""

    @override
    def build(self, name: str, vocab_size: int, max_length: int, dropout: float) -> LanguageModel:
        """Refuses, because the table needs the language, not only sizes.

        Raises:
            InputError: always.
        """
        raise InputError(f"model '{name}' is the language itself, expected a network such as bert-2x64; choose one")

    @override
    def build_for(self, name: str, language: Language, dropout: float) -> LanguageModel:
        return LookupTable(language)

    @override
    def count(self, vocab_size: int, max_length: int) -> Count:
        """No parameters."""
        return Count(0, 0)
