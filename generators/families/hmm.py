"""The family of HMMs whose probabilities are in a YAML file."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from ...errors import InputError
from ..hmm.language import DEFAULT_LENGTH, HMM, MOST_WORDS
from ..language import Language
from .base import Family, families


@families.register("hmm")
@dataclass(frozen=True, kw_only=True)
class HMMFamily(Family):
    """An HMM given by its tables: `HMM`.

    Args:
        initial: probabilities of the first state.
        transition: a row for each state, or a table for each block of a block-diagonal chain.
        emission: a row for each state, a column for each word.
        length: number of words in a sentence.
        words: names of the words; 0, 1, ... unless given.
        task_positions: positions, from 1, of the hidden states that are tasks; see `HMM`.
    """

    initial: list[Any]
    transition: list[Any]
    emission: list[Any]
    length: int = DEFAULT_LENGTH
    words: list[Any] | None = None
    task_positions: list[Any] | None = None

    @override
    def build(self) -> Language:
        if self.words is not None and not all(type(word) in (str, int) for word in self.words):
            place, word = next((i, word) for i, word in enumerate(self.words, 1) if type(word) not in (str, int))
            raise InputError(f"words: item {place} is {word!r}, expected a string; put it in quotes")
        names = None if self.words is None else [str(word) for word in self.words]
        if self.length > MOST_WORDS:
            raise InputError(f"length {self.length}: expected at most {MOST_WORDS} words; give another length")
        try:
            initial, transition = _table("initial", self.initial), _table("transition", self.transition)
            emission = _table("emission", self.emission)
            return HMM(initial, transition, emission, self.length, names, self.task_positions)
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                f"initial, transition or emission is not a table of numbers ({error}); correct it"
            ) from None


def _table(name: str, values: list[Any]) -> NDArray[np.float64]:
    """A table of numbers, including numbers that YAML reads as strings, such as 1e-3."""
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{name} is not a table of numbers ({error}), expected rows of equal length; correct it"
        ) from None
