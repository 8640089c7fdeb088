"""The settings of probes on real text."""

import math
from dataclasses import dataclass

from ...errors import InputError, at_least, check_types


@dataclass(frozen=True)
class TextConfig:
    """Probes of what a causal network says about labelled texts.

    Args:
        prompt: text that is appended to each text, after a blank; rows with and without it.
        label: the column of the labels, by its name or its number from 1; found by its usual names unless given.
        columns: the columns of the texts, separated by commas; found by their usual names unless given.
        words_each: class words for each class, those with the largest |log p(w | y = k) / p(w | y != k)|.
        class_words: class words of your own, separated by spaces, each one token.
        subset: the words of the subset, separated by spaces; unless given, 14 chosen as class words are.
        longest: tokens at which a text is cut; the prompt is kept whole.
        batch_size: texts that the network reads at a time.
        held_out: share of the texts of each class that is tested on where there is no file for the test.
        l2: strength of the penalty of the probe; null chooses it by validation.
        seed: of the split and of the order in which validation takes texts.
    """

    prompt: str | None = None
    label: str | None = None
    columns: str | None = None
    words_each: int = 1
    class_words: str | None = None
    subset: str | None = None
    longest: int = 512
    batch_size: int = 16
    held_out: float = 0.2
    l2: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("words_each", "longest", "batch_size"):
            at_least(name, getattr(self, name), 1)
        if not 0 < self.held_out < 1:
            raise InputError(f"held_out is {self.held_out}, expected a share between 0 and 1; correct it")
        if self.l2 is not None and not 0 < self.l2 < math.inf:
            raise InputError(f"l2 is {self.l2}, expected a positive number; correct it")
        if self.class_words is not None and self.words_each != 1:
            raise InputError(f"words_each is {self.words_each} beside class_words, expected one; leave one out")
        if self.prompt is not None and not self.prompt.strip():
            raise InputError("prompt is blank, expected a text; give one, or leave it out")
