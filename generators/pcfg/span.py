"""What a task of a grammar asks for: the symbol over a prefix of the sentence."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Span:
    """A prefix of the sentence and the symbols to choose from.

    Args:
        words: how many words the prefix has; None takes the whole sentence, and so does a sentence that is shorter.
        symbols: names of nonterminals.
    """

    words: int | None
    symbols: tuple[str, ...]

    def width(self, lengths: Tensor) -> Tensor:
        """The number of words [n] that the prefix has in sentences of these lengths [n]."""
        return lengths if self.words is None else lengths.clamp(max=self.words)
