"""An HMM whose probabilities a YAML file holds."""

from dataclasses import dataclass

from ...errors import InputError
from ..hmm.language import DEFAULT_LENGTH, HMM, MOST_WORDS
from ..language import Language
from .base import Family, families


@families.register("hmm")
@dataclass(frozen=True, kw_only=True)
class HMMFamily(Family):
    """An HMM by its tables: `HMM`.

    Args:
        initial: the probabilities of the first state.
        transition: a row for each state, or a table for each block of a block-diagonal chain.
        emission: a row for each state, a column for each word.
        length: words in a sentence.
        words: their names; 0, 1, ... unless given.
        task_positions: which hidden states are tasks, counted from 1; see `HMM`.
    """

    initial: list
    transition: list
    emission: list
    length: int = DEFAULT_LENGTH
    words: list | None = None
    task_positions: list | None = None

    def build(self) -> Language:
        if self.words is not None and not all(type(word) in (str, int) for word in self.words):
            raise InputError("words: expected a list of strings; put what is none into quotes")
        names = None if self.words is None else [str(word) for word in self.words]
        if self.length > MOST_WORDS:
            raise InputError(f"length {self.length}: expected at most {MOST_WORDS} words; give another length")
        try:
            return HMM(self.initial, self.transition, self.emission, self.length, names, self.task_positions)
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(f"initial, transition or emission is no table of numbers: {error}") from None
