"""Checks arguments of public functions, and lets callers give a language or a task by name."""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ..errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

OFFERS: dict[str, tuple[tuple[str, ...], str]] = {
    "model": (("features", "logits_at"), "a model; give one from build_model or load_model"),
    "language": (("sample", "conditional"), "a language or its name; give one that load_language accepts"),
    "task": (("labels", "classes"), "a task or its name; give a name of language.tasks"),
    "sentences": (("tokens", "lengths"), "Sentences; give those from language.sample"),
    "batch": (("inputs", "targets"), "a batch of sentences with hidden words; give one from make_batch"),
    "evaluation": (("batch", "truth"), "a held-out set with its truth; give an EvaluationSet"),
    "config": (("steps", "masking"), "the settings of training; give a TrainConfig"),
}
"""Argument name -> (attributes that the value must have, what the message says was expected)."""


def takes_names(function: Callable[P, R]) -> Callable[P, R]:
    """A decorator that accepts names: it loads the `language` of a name, and finds a named `task` in that language.

    Args:
        function: a function with any of the arguments in OFFERS, under these names.

    Returns:
        The function. It raises InputError if such an argument is of another kind.
    """
    signature = inspect.signature(function)

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        bound = signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            if name in OFFERS and not (value is None and signature.parameters[name].default is None):
                bound.arguments[name] = as_kind(name, value, bound.arguments)
        return function(*bound.args, **bound.kwargs)

    return checked


def as_kind(name: str, value: Any, others: Mapping[str, Any]) -> Any:
    """Checks an argument, and replaces a name by the language or task that it stands for.

    Args:
        name: the name of the argument, one of OFFERS.
        value: the given value.
        others: the other arguments. A language loaded by name goes to the device of `model`, if there is one; a task is
            looked up in `language`.

    Returns:
        The value, or the language or task of this name.

    Raises:
        InputError: for a value of another kind, and for an unknown name.
    """
    if name == "language" and isinstance(value, (str, Path, Mapping)):
        return _loaded(value, others.get("model"))
    if name == "task" and isinstance(value, str):
        from .tasks import find_task

        return find_task(others["language"], value)
    attributes, expected = OFFERS[name]
    if isinstance(value, type) or not all(hasattr(value, each) for each in attributes):
        given = f"are of type {type(value).__name__}" if name == "sentences" else f"is {value!r:.80}"
        raise InputError(f"{name} {given}, expected {expected}")
    return value


def _loaded(source: Any, model: Any) -> Any:
    from .load import load_language

    language = load_language(source)
    parameter = next(model.parameters(), None) if hasattr(model, "parameters") else None
    return language if parameter is None else language.to(parameter.device)
