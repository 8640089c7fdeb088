"""The class of the next word: a prefix task that is a bounded linear function of the next-word distribution."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from ...errors import InputError, unknown
from ..language import Language
from .task import PrefixTask, PrefixTaskKind, prefix_tasks


class NextWordClass(PrefixTask):
    """Whether the next word is in a set W of words, P(y = 1 | s) = sum_(w in W) p*(w | s)."""

    classes = ("other", "chosen")

    def __init__(self, name: str, language: Language, chosen: Tensor) -> None:
        self.name, self.language, self.chosen = name, language, chosen

    @override
    def posteriors(self, tokens: Tensor, lengths: Tensor | None = None) -> Tensor:
        following = self.language.next_word(tokens, lengths)
        return torch.stack([following[..., ~self.chosen].sum(2), following[..., self.chosen].sum(2)], 2)


@prefix_tasks.register("next-word")
@dataclass(frozen=True)
class NextWordClasses(PrefixTaskKind[Language]):
    """Whether the next word is in a set of words. The end of the sentence is outside the set.

    Args:
        words: the words of the set, separated by spaces; the first half of the vocabulary unless given.
    """

    words: str | None = None

    needs = Language

    @override
    def tasks(self, language: Language) -> Iterator[PrefixTask]:
        chosen = torch.zeros(language.vocab_size + 1, dtype=torch.bool, device=language.device)
        if self.words is None:
            chosen[: max(1, language.vocab_size // 2)] = True
        else:
            for word in self.words.split():
                if word not in language.words:
                    raise unknown("word", word, language.words)
                chosen[language.words.index(word)] = True
            if not bool(chosen.any()):
                raise InputError("words is empty, expected words of the language separated by spaces; name some")
        yield NextWordClass(self.name, language, chosen)
