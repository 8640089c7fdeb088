"""Errors that a person can act on: one line that says what was given, where, what was expected and what to do."""

import difflib
import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Self, get_args, get_origin, get_type_hints


class InputError(ValueError):
    """Something the user gave cannot be used. The command line prints it as one line and exits with status 2.

    Args:
        said: what was given, what was expected and what to do.
        *place: where it stands, from the outside in, such as "study.yaml", "model bert-1x8".
    """

    def __init__(self, said: str, *place: str) -> None:
        self.said, self.place = " ".join(said.split()), place
        super().__init__(self.said, *place)

    def __str__(self) -> str:
        place = " ".join(", ".join(self.place).split())
        return f"{place}: {self.said}" if place else self.said

    def at(self, *place: str) -> Self:
        """The same error at another place."""
        return type(self)(self.said, *place)


class TooLargeError(InputError):
    """Something asked for is more than the memory here can hold."""


class WorkerError(RuntimeError):
    """A process that did a part of the work is gone; what was finished is kept."""


class DivergedError(ArithmeticError):
    """Training met a loss that is not a finite number. The last good checkpoint is kept."""


class StoppedError(RuntimeError):
    """Work was asked to stop, and has kept where it was: it goes on from there.

    Args:
        what: what stopped where, such as "stopped at step 5 of 10".
        remedy: how it goes on.
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
        *place: where what the block reads stands, from the outside in.

    Raises:
        InputError: of the block, with `place` before its own.
    """
    try:
        yield
    except InputError as error:
        raise error.at(*place, *error.place) from None


def nearest(name: object, valid: Iterable[object], likeness: float = 0.5) -> str | None:
    """The valid name that is spelled most like the given one; None where none comes close.

    Args:
        name: as given.
        valid: the names that exist.
        likeness: the least share of characters that the two have in common, from 0 to 1.

    Returns:
        The name.
    """
    close = difflib.get_close_matches(str(name), [str(item) for item in valid], n=1, cutoff=likeness)
    return close[0] if close else None


def unknown(kind: str, name: object, valid: Iterable[object]) -> InputError:
    """The error for a name that does not exist: it offers the nearest valid one, or lists them all."""
    names = [str(item) for item in valid]
    close = nearest(name, names)
    remedy = f"did you mean '{close}'?" if close else f"expected one of: {', '.join(names) or 'none here'}"
    return InputError(f"unknown {kind} '{name}': {remedy}")


def whole_number(name: str, value: object) -> int:
    """The value as an int; True and 4.0 are refused.

    Args:
        name: what a message calls the value.
        value: what was given.

    Returns:
        The number.

    Raises:
        InputError: for a value of another type.
    """
    if not isinstance(value, bool):
        with suppress(TypeError):
            return operator.index(value)  # type: ignore[arg-type]  # whatever it is
    raise InputError(f"{name} is {value!r}, expected a whole number; correct it")


def plain_number(value: Any) -> Any:
    """Returns a number of another class, such as numpy's, as an int or a float, and anything else as it is."""
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
    """Checks that a value is a text.

    Args:
        name: what the message calls it.
        value: any.

    Returns:
        The value.

    Raises:
        InputError: for anything else.
    """
    if not isinstance(value, str):
        raise InputError(f"{name} is {value!r:.80}, expected a text; put it into quotes")
    return value


KINDS: dict[type, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
"""Types of settings, as messages call them."""


WORDS: dict[type, str] = KINDS | {
    list: "a list",
    tuple: "a list",
    dict: "a mapping of keys to values",
    NoneType: "null",
}
"""Types of what files hold, as messages call them."""


def check_types(config: Any) -> None:
    """Checks that the fields of a dataclass have the types that it declares: numbers, texts, and lists of these.

    A number of any class counts as one and becomes an int or a float; True is no number. Other types are not checked.

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
