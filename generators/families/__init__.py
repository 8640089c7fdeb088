"""The families of languages that a YAML file may name: family -> what builds it from the file's other keys.

A builder takes keyword arguments alone. Their annotations say which types the YAML may hold, their defaults which keys
may be left out; a random family draws everything from its own `seed`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InputError
from ..hmm.language import DEFAULT_LENGTH, HMM, MOST_WORDS
from ..language import Language
from ..pcfg.grammar import read_text
from ..pcfg.language import PCFG
from ..pcfg.tasks import Span
from . import (
    brackets,
    causal,
    cfg3,
    dyck,
    ginc,
    hierarchy,
    layered,
    random_hmm,
    random_pcfg,
    uniform_cfg,
    wei2021_hmm,
    wei2021_memory_hmm,
)
from .lengths import length_weights


def _hmm(
    *,
    initial: list,
    transition: list,
    emission: list,
    length: int = DEFAULT_LENGTH,
    words: list | None = None,
    task_positions: list | None = None,
) -> Language:
    if words is not None and not all(type(word) in (str, int) for word in words):
        raise InputError("words: expected a list of strings; put what is none into quotes")
    names = None if words is None else [str(word) for word in words]
    if length > MOST_WORDS:
        raise InputError(f"length {length}: expected at most {MOST_WORDS} words; give another length")
    try:
        return HMM(initial, transition, emission, length, names, task_positions)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(f"initial, transition or emission is no table of numbers: {error}") from None


def _pcfg(
    *, grammar: str, max_length: int | None = None, tasks: dict | None = None, lengths: dict | None = None
) -> Language:
    spans = None
    if tasks is not None:
        spans = {}
        for name, task in tasks.items():
            if not _is_span(task):
                raise InputError(
                    f"task {name}: expected words (a number, or null for all) and symbols (different ones)"
                )
            spans[str(name)] = Span(task["words"], tuple(map(str, task["symbols"])))
    return PCFG(read_text(grammar), max_length, spans, length_weights(lengths))


def _is_span(task: Any) -> bool:
    if not isinstance(task, Mapping) or set(task) != {"words", "symbols"} or not isinstance(task["symbols"], list):
        return False
    symbols = [str(symbol) for symbol in task["symbols"]]
    if not symbols or len(set(symbols)) < len(symbols):
        return False
    return task["words"] is None or (type(task["words"]) is int and task["words"] > 0)


FAMILIES: dict[str, Callable[..., Language]] = {
    "hmm": _hmm,
    "pcfg": _pcfg,
    "random-hmm": random_hmm.build,
    "layered-pcfg": layered.build,
    "random-pcfg": random_pcfg.build,
    "random-hierarchy": hierarchy.build,
    "uniform-cfg": uniform_cfg.build,
    "cfg3": cfg3.build,
    "causal": causal.build,
    "wei2021-hmm": wei2021_hmm.build,
    "wei2021-memory-hmm": wei2021_memory_hmm.build,
    "ginc": ginc.build,
    "brackets": brackets.build,
    "dyck": dyck.build,
}
