"""The look-up table: the language itself as a model. Its KL is zero; its features are the conditionals alone.

What a probe finds in these features is what a perfect model must know, and nothing of how a network represents it
(Liu et al. 2022, section 3).
"""

from torch import Tensor

from ...generators import Language
from ..interface import MaskedLM


class LookupTable(MaskedLM):
    """features(x)_t = p(x_t = . | the visible words other than the one at t), V numbers a position; logits their log."""

    per_example_gradients = False

    def __init__(self, language: Language) -> None:
        super().__init__()
        self.language = language
        self.name, self.vocab_size, self.max_length = "lookup", language.vocab_size, language.max_length
        self.feature_size = language.vocab_size

    def features(self, tokens: Tensor) -> Tensor:
        """[n, T, V] float64. Raises InputError for a sentence that the language cannot produce."""
        lengths = (tokens != self.pad_id).sum(1)
        return self.language.conditional(tokens, lengths, tokens == self.mask_id)

    def logits(self, features: Tensor) -> Tensor:
        """log p, -inf where the truth is zero."""
        return features.log()
