"""Reads configurations by the types of their fields. Unknown keys and wrong types are errors and never ignored.

An integer may be written as a float (1e3, 1000.0), and a float as an integer. A text that looks like a number (1e-3,
which YAML 1.1 reads as a text) counts as a number where one is expected.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from ..errors import InputError, placed, unknown
from ..system.yaml_files import read_yaml_text

T = TypeVar("T")

STUDY = "study"
"""The outermost place of an error in a study. The command replaces it by the path or name of the study's file."""

NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
"""A decimal number in common notation, which excludes 0x10 and 1_000."""

WHOLE = re.compile(r"[-+]?(?:0|[1-9]\d*)", re.ASCII)
"""An integer without an exponent. Excludes 010, which could be read as 8."""

MOST_DIGITS = 4000
"""The most digits of a number, below Python's limit for conversion."""

MOST_SHOWN = 100
"""The most characters of a value that a message repeats."""

NAMES = {int: "an integer", float: "a number", bool: "true or false", str: "a string", NoneType: "null"}
"""Type -> the name of one such value in messages."""

SEVERAL = {int: "integers", float: "numbers", str: "strings"}
"""Type -> the name of several such values in messages."""

LISTS = {int: "[1, 2]", float: "[0.1, 0.2]", str: "[a, b]"}
"""Type -> an example of a list of such values."""

MAPPING = "a mapping of keys to values, such as {key: value}"


class _WrongError(Exception):
    """A value that is not of its type.

    Args:
        value: the wrong value: the whole value, or an item of a list.
        expected: what was expected in its place.
        item: whether it is an item of a list.
    """

    def __init__(self, value: object, expected: str, item: bool = False) -> None:
        super().__init__(value, expected, item)
        self.value, self.expected, self.item = value, expected, item


class _Text(NamedTuple):
    """A value from the command line, which is a text until it is read by its type."""

    text: str


def from_mapping(kind: type[T], values: Mapping[str, Any], *where: str) -> T:
    """Makes a dataclass from the values in a YAML file.

    Args:
        kind: the dataclass.
        values: name of a field -> value; a field that is a dataclass itself takes a mapping.
        *where: the place of the values, with which messages begin.

    Returns:
        The dataclass. Fields that are not given have their defaults.

    Raises:
        InputError: naming the place, for an unknown or missing key, a value of a wrong type, and values that the class
            refuses.
    """
    where = tuple(filter(None, where))
    with placed(*where):
        known = field_types(kind)
        _check_keys(kind, values, known)
        given = {key: _field_value(known[key], key, value, known) for key, value in values.items()}
        return _made(kind, given)


def _check_keys(kind: type, values: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in values:
        if key in known:
            continue
        parts = {name: type_ for name, type_ in known.items() if isinstance(type_, type) and is_dataclass(type_)}
        below = [name for name, type_ in parts.items() if key in field_types(type_)]
        if below:
            raise InputError(f"unknown key '{key}'; it belongs below {below[0]}, not beside it; move it")
        raise unknown("key", key, known)
    for each in fields(kind):
        if each.name not in values and _must_be_given(each):
            raise InputError(f"{each.name} missing, expected a value; give it")


def _made(kind: type[T], given: Mapping[str, Any]) -> T:
    try:
        return kind(**given)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InputError(f"values that do not fit together ({error}); correct them") from None


def field_types(kind: type) -> dict[str, Any]:
    """name -> type of the fields that a dataclass takes when it is made."""
    types = get_type_hints(kind)
    return {each.name: types[each.name] for each in fields(kind) if each.init}


def read_text(name: str, text: str, kind: Any) -> Any:
    """Reads a text from the command line as a value.

    Args:
        name: its name in messages.
        text: the text as given. Lists and mappings are written as in YAML, [1, 2] and {key: value}.
        kind: the type of the value.

    Returns:
        The value.

    Raises:
        InputError: for a text that is not a value of this type.
    """
    return _as_named(name, _Text(text), kind)


def _as_named(name: str, value: Any, kind: Any) -> Any:
    try:
        return _adapted(value, kind)
    except _WrongError as wrong:
        raise _refusal(name, wrong) from None


def _field_value(kind: Any, name: str, value: Any, above: Container[str] = ()) -> Any:
    """Converts the value of a field to its type. `above`: the keys of the mapping that the field stands in."""
    if value is None and kind is not Any and NoneType not in _members(kind):
        raise InputError(f"{name} is 'None', expected a value; give it, or leave the key out")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputError(f"{name} has the key {key!r}, expected a name; put it in quotes")
        if isinstance(kind, type) and is_dataclass(kind):
            for key in value:
                if key in above and key not in field_types(kind):
                    raise InputError(f"{name}: unknown key '{key}'; it belongs beside {name}, not below it; move it")
            return from_mapping(kind, value, name)
    return _as_named(name, value, kind)


def _must_be_given(each: Field[Any]) -> bool:
    return each.init and each.default is MISSING and each.default_factory is MISSING


def _refusal(name: str, wrong: _WrongError) -> InputError:
    value = wrong.value.text if isinstance(wrong.value, _Text) else wrong.value
    if _is_number_text(value) and len(str(value)) > MOST_DIGITS:
        return InputError(f"{name} has more than {MOST_DIGITS:,} digits, expected a smaller number; correct it")
    shown = _shown(value)
    has = "has the item" if wrong.item else "is"
    return InputError(f"{name} {has} '{shown}', expected {wrong.expected}; correct it")


def _shown(value: object) -> str:
    try:
        text = str(value)
    except (ValueError, RecursionError):
        return "..."
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def _adapted(value: Any, kind: Any) -> Any:
    """Converts a value to this type, which may be a union. Raises _WrongError if that is impossible."""
    members = _members(kind)
    found = None
    # A text counts as a text only if no other type of the union fits.
    for member in sorted(members, key=lambda member: member is str):
        try:
            return _of_one(value, member)
        except _WrongError as wrong:
            found = wrong if wrong.item else found
    raise found or _WrongError(value, _called(members))


def _of_one(value: Any, kind: Any) -> Any:
    """Converts a value to a type that is not a union."""
    if isinstance(value, _Text):
        return value.text if kind in (str, Any) else _of_one(_read(value, kind), kind)
    if kind is Any:
        return _number(value) if _is_number_text(value) and not WHOLE.fullmatch(value) else value
    origin = get_origin(kind) or kind
    if origin in (int, float):
        return _of_number(value, origin)
    if origin is list and isinstance(value, (list, tuple)):
        (item,) = get_args(kind) or (Any,)
        return [_item(each, item) for each in value]
    if origin is tuple and isinstance(value, (list, tuple)) and len(value) == len(get_args(kind)):
        return tuple(_item(each, item) for each, item in zip(value, get_args(kind), strict=True))
    if origin is dict and isinstance(value, Mapping):
        return {key: _adapted(each, get_args(kind)[1]) for key, each in value.items()}
    if isinstance(value, origin):
        return value
    raise _WrongError(value, _called((kind,)))


def _of_number(value: Any, kind: type) -> Any:
    if _is_number_text(value):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _WrongError(value, NAMES[kind])
    try:
        if kind is float:
            return float(value)
        whole = int(value)
    except (OverflowError, ValueError):
        raise _WrongError(value, NAMES[kind]) from None
    if whole != value:
        raise _WrongError(value, NAMES[kind])
    return whole


def _item(value: Any, kind: Any) -> Any:
    try:
        return _adapted(value, kind)
    except _WrongError as wrong:
        raise _WrongError(wrong.value, wrong.expected, item=True) from None


def _read(value: _Text, kind: Any) -> Any:
    """Reads a text from the command line as YAML. A number stays a text, which `_of_number` reads."""
    if NUMBER.fullmatch(value.text):
        return value.text
    try:
        return read_yaml_text(value.text.encode("utf-8", "surrogateescape"))
    except InputError:
        raise _WrongError(value, _called((kind,))) from None


def _is_number_text(value: object) -> bool:
    return isinstance(value, str) and NUMBER.fullmatch(value) is not None


def _number(text: str) -> int | float | str:
    """The number that a text represents, or the text itself if it is ambiguous, like 010, or too long."""
    if len(text) > MOST_DIGITS:
        return text
    if WHOLE.fullmatch(text):
        return int(text)
    return text if text.lstrip("+-").isdigit() else float(text)


def _members(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _called(members: tuple[Any, ...]) -> str:
    """The name, in messages, of a value of one of these types: "an integer or null"."""
    return " or ".join(_name(member) for member in members)


def _name(kind: Any) -> str:
    origin, items = get_origin(kind), get_args(kind)
    if origin is list:
        return f"a list of {SEVERAL[items[0]]} such as {LISTS[items[0]]}" if items[0] in SEVERAL else "a list"
    if origin is tuple:
        return f"{ {2: 'two', 3: 'three'}.get(len(items), len(items)) } {SEVERAL[items[0]]}"
    return MAPPING if origin is dict or is_dataclass(kind) else NAMES.get(kind, str(kind))
