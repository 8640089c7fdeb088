"""The family of grammars whose rules are in a YAML file, in NLTK's notation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from ...errors import InputError
from ..language import Language
from ..pcfg.grammar import read_text
from ..pcfg.language import PCFG
from ..pcfg.span import Span
from .base import Family, families
from .lengths import length_weights


@families.register("pcfg")
@dataclass(frozen=True, kw_only=True)
class PCFGFamily(Family):
    """A grammar given by its rules: `PCFG.from_string`.

    Args:
        grammar: rules in NLTK's notation.
        max_length: largest number of words in a sentence; unless given, that of the longest sentence, or 32 if there
            is no longest.
        tasks: name -> {words, symbols}: which of the symbols spans the first words (null: the whole sentence).
        lengths: length -> weight, instead of the grammar's own distribution of lengths.
    """

    grammar: str
    max_length: int | None = None
    tasks: dict[Any, Any] | None = None
    lengths: dict[Any, Any] | None = None

    @override
    def build(self) -> Language:
        spans = None
        if self.tasks is not None:
            spans = {}
            for name, task in self.tasks.items():
                if not _is_span(task):
                    raise InputError(
                        f"task {name}: expected words (a number, or null for all) and symbols (different ones)"
                    )
                spans[str(name)] = Span(task["words"], tuple(map(str, task["symbols"])))
        return PCFG(read_text(self.grammar), self.max_length, spans, length_weights(self.lengths))


def _is_span(task: Any) -> bool:
    """Whether a value describes the span of a task."""
    if not isinstance(task, Mapping) or set(task) != {"words", "symbols"} or not isinstance(task["symbols"], list):
        return False
    symbols = [str(symbol) for symbol in task["symbols"]]
    if not symbols or len(set(symbols)) < len(symbols):
        return False
    return task["words"] is None or (type(task["words"]) is int and task["words"] > 0)
