"""Errors that the user can act on: one line that says what was given, where, what was expected and what to do."""

import difflib
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints


class InputError(ValueError):
    """The user's input cannot be used. The command line prints this error as one line and exits with status 2.

    Args:
        said: what was given, what was expected and what to do.
        *place: where the input is, outermost first, such as "study.yaml", "model bert-1x8".
    """

    def __init__(self, said: str, *place: str) -> None:
        self.said, self.place = " ".join(said.split()), place
        super().__init__(self.said, *place)

    def __str__(self) -> str:
        place = " ".join(", ".join(self.place).split())
        return f"{place}: {self.said}" if place else self.said

    def at(self, *place: str) -> Self:
        """The same error with this place instead of its own."""
        return type(self)(self.said, *place)


class TooLargeError(InputError):
    """The request needs more memory than this machine has."""


class WorkerError(RuntimeError):
    """A worker process died or failed. Finished work is kept."""


class DivergedError(ArithmeticError):
    """Training met a loss that is not a finite number. The last good checkpoint is kept."""


class StoppedError(RuntimeError):
    """The work stopped on request, after saving its state, and can be resumed.

    Args:
        what: what stopped and where, such as "stopped at step 5 of 10".
        remedy: how to resume it.
    """

    def __init__(self, what: str, remedy: str = "run the same command again to go on") -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


@contextmanager
def placed(*place: str) -> Iterator[None]:
    """Adds an outer place to every InputError that the block raises.

    Args:
        *place: where the input of the block is, outermost first.

    Raises:
        InputError: the block's error, with `place` before its own place.
    """
    try:
        yield
    except InputError as error:
        raise error.at(*place, *error.place) from None


def nearest(name: object, valid: Iterable[object], likeness: float = 0.5) -> str | None:
    """The valid name that is closest in spelling to the given one; None if none is close.

    Args:
        name: the given name.
        valid: the names that exist.
        likeness: the smallest `difflib` similarity ratio that counts as close, from 0 to 1.

    Returns:
        The name.
    """
    close = difflib.get_close_matches(str(name), [str(item) for item in valid], n=1, cutoff=likeness)
    return close[0] if close else None


def unknown(kind: str, name: object, valid: Iterable[object]) -> InputError:
    """The error for a name that does not exist. It suggests the nearest valid name, or lists all valid names."""
    names = [str(item) for item in valid]
    close = nearest(name, names)
    remedy = f"did you mean '{close}'?" if close else f"expected one of: {', '.join(names) or 'none here'}"
    return InputError(f"unknown {kind} '{name}': {remedy}")


def whole_number(name: str, value: object) -> int:
    """The value as an int. It refuses True and 4.0.

    Args:
        name: the value's name in the error message.
        value: the given value.

    Returns:
        The number.

    Raises:
        InputError: for a value that is not an integer.
    """
    if not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)  # type: ignore[arg-type]  # whatever it is
    raise InputError(f"{name} is {value!r}, expected an integer; correct it")


def plain_number(value: Any) -> Any:
    """Converts a number of another class, such as numpy's, to int or float. Returns anything else unchanged."""
    if isinstance(value, (bool, int, float)) and type(value).__module__ == "builtins":
        return value
    if isinstance(value, Integral):
        return int(value)
    return float(value) if isinstance(value, Real) else value


def at_least(name: str, value: float, least: float) -> None:
    """Checks a lower bound.

    Raises:
        InputError: for a smaller number.
    """
    if value < least:
        raise InputError(f"{name} is {value}, expected at least {least}; give a larger number")


def a_text(name: str, value: object) -> str:
    """Checks that a value is a string.

    Args:
        name: the value's name in the error message.
        value: any value.

    Returns:
        The value.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.80}, expected a string; put it in quotes")
    return value


KINDS: dict[type, str] = {int: "an integer", float: "a number", bool: "true or false", str: "a string"}
"""How messages name the types of settings."""


WORDS: dict[type, str] = KINDS | {
    list: "a list",
    tuple: "a list",
    dict: "a mapping of keys to values",
    NoneType: "null",
}
"""How messages name the types of values in files."""


def check_types(config: Any) -> None:
    """Checks that the fields of a dataclass have their declared types: numbers, booleans, strings, and lists of these.

    A number of another class, such as numpy's, becomes an int or a float. True is not a number. Other types are not
    checked.

    Raises:
        InputError: for a value of another type.
    """
    for name, kind in get_type_hints(type(config)).items():
        if name in getattr(config, "__dict__", {}):
            object.__setattr__(config, name, _of_kind(name, getattr(config, name), kind))


def _of_kind(name: str, value: Any, kind: Any) -> Any:
    kinds = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    known = [each for each in kinds if each in KINDS]
    lists = [each for each in kinds if get_origin(each) in (list, tuple)]
    if value is None and NoneType in kinds:
        return value
    if lists and isinstance(value, (list, tuple)):
        items = get_args(lists[0])
        if get_origin(lists[0]) is tuple and len(items) != len(value):
            raise InputError(f"{name} is {value!r:.80}, expected {len(items)} values; correct it")
        return type(value)(_of_kind(name, item, items[min(i, len(items) - 1)]) for i, item in enumerate(value))
    if len(known) + len(lists) + (NoneType in kinds) < len(kinds):
        return value
    if int in known and isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if float in known and isinstance(value, Real) and not isinstance(value, bool):
        return plain_number(value)
    if isinstance(value, tuple(each for each in known if each in (bool, str))):
        return value
    words = [*(KINDS[each] for each in known), *(["a list"] if lists else [])]
    raise InputError(f"{name} is {value!r:.80}, expected {' or '.join(words)}; correct it")
