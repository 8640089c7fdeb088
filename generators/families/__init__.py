"""The families of languages that a YAML file may name: family -> what builds it from the file's other keys.

A builder takes keyword arguments alone. Their annotations say which types the YAML may hold, their defaults which keys may be left
out; a random family draws everything from its own `seed`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ...errors import InputError
from ...randomness import random_stream
from ..grammar import read_text
from ..hmm import DEFAULT_LENGTH, HMM
from ..language import Language
from ..pcfg import PCFG
from ..tasks import Span
from .layered import layered_pcfg
from .random_hmm import random_hmm


def _hmm(
    *, initial: list, transition: list, emission: list, length: int = DEFAULT_LENGTH, words: list | None = None
) -> Language:
    try:
        return HMM(initial, transition, emission, length, words)
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
                raise InputError(f"task {name}: expected words (a number, or null for all) and symbols (a list)")
            spans[str(name)] = Span(task["words"], tuple(map(str, task["symbols"])))
    return PCFG(read_text(grammar), max_length, spans, length_weights(lengths))


def length_weights(lengths: dict | None) -> dict[int, float] | None:
    """length -> weight as YAML holds it. Raises InputError for anything but whole numbers with numbers."""
    for length, weight in (lengths or {}).items():
        if type(length) is not int or type(weight) not in (int, float):
            raise InputError(f"lengths: {length!r}: {weight!r}, expected a whole number: its weight; correct it")
    return lengths


def _is_span(task: Any) -> bool:
    if not isinstance(task, Mapping) or set(task) != {"words", "symbols"} or not isinstance(task["symbols"], list):
        return False
    return task["words"] is None or (isinstance(task["words"], int) and task["words"] > 0)


def _random_hmm(
    *,
    states: int,
    words: int,
    length: int = DEFAULT_LENGTH,
    blocks: int = 1,
    transition_concentration: float = 1.0,
    emission_concentration: float = 1.0,
    shared_words: bool = False,
    seed: int = 0,
) -> Language:
    generator = random_stream(seed, "language")
    concentrations = (transition_concentration, emission_concentration)
    return random_hmm(states, words, length, generator, blocks, *concentrations, shared_words)


def _layered_pcfg(
    *,
    layers: list,
    rules: list,
    words: int,
    rule_concentration: float = 1.0,
    emission_concentration: float = 1.0,
    words_per_symbol: int | None = None,
    exit_probability: list | None = None,
    seed: int = 0,
) -> Language:
    if exit_probability is not None and not (
        len(exit_probability) == 2 and all(isinstance(p, (int, float)) for p in exit_probability)
    ):
        raise InputError(f"exit_probability is {exit_probability}, expected two numbers, [low, high]; correct it")
    exits = None if exit_probability is None else (float(exit_probability[0]), float(exit_probability[1]))
    generator = random_stream(seed, "language")
    concentrations = (rule_concentration, emission_concentration)
    return layered_pcfg(layers, rules, words, generator, *concentrations, words_per_symbol, exits)


FAMILIES: dict[str, Callable[..., Language]] = {
    "hmm": _hmm,
    "pcfg": _pcfg,
    "random-hmm": _random_hmm,
    "layered-pcfg": _layered_pcfg,
}
