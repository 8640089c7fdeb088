"""Errors that a person can act on: one line that says what was given, where, what was expected and what to do."""

import difflib
from collections.abc import Iterable
from numbers import Integral


class InputError(ValueError):
    """Something the user gave cannot be used. The command line prints it as one line and exits with status 2."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


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


def unknown(kind: str, name: object, valid: Iterable[object]) -> InputError:
    """The error for a name nobody knows: it offers the nearest valid one, or lists what there is."""
    names = [str(item) for item in valid]
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    remedy = f"did you mean '{close[0]}'?" if close else f"expected one of: {', '.join(names) or 'none here'}"
    return InputError(f"unknown {kind} '{name}': {remedy}")


def whole_number(name: str, value: object) -> int:
    """The value as an int. Raises InputError for what is no whole number; True and 4.0 are none."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise InputError(f"{name} is {value!r}, expected a whole number; correct it")
    return int(value)


def at_least(name: str, value: float, least: float) -> None:
    """Raises InputError for a smaller number."""
    if value < least:
        raise InputError(f"{name} is {value}, expected at least {least}; give a larger number")
