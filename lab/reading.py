"""How a configuration is read: unknown keys and wrong types are errors, never dropped."""

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, NoReturn, TypeVar, get_args

from jsonargparse import ArgumentError, ArgumentParser

from ..errors import InputError, unknown

T = TypeVar("T")


class _Reader(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise InputError(message)


def from_mapping(kind: type[T], values: Mapping[str, Any], where: str) -> T:
    """A dataclass from what YAML gave. Raises InputError, naming `where`, for unknown keys and values of a wrong type."""
    _known_keys(kind, values, where)
    reader = _Reader(exit_on_error=False)
    reader.add_class_arguments(kind, as_group=False)
    try:
        return kind(**vars(reader.instantiate(reader.parse_object(dict(values)))))
    except (AttributeError, ArithmeticError, RecursionError):
        raise InputError(
            f"{where}: a value that cannot be read, expected plain numbers and texts; correct it"
        ) from None
    except (ValueError, TypeError, KeyError, ArgumentError) as error:
        raise InputError(f"{where}: {plain(str(error))}" if where else plain(str(error))) from None


def _known_keys(kind: Any, values: Mapping[str, Any], where: str) -> None:
    known: dict[str, Any] = {f.name: f.type for f in fields(kind)}
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{where}: {unknown('key', key, known)}")
        if value is None and type(None) not in get_args(known[key]):
            raise InputError(f"{where}: {key} is 'None', expected a value; give it, or leave the key out")
        if isinstance(value, Mapping) and (wrong := [name for name in value if not isinstance(name, str)]):
            raise InputError(f"{where}: {key} has the key {wrong[0]!r}, expected a name; put it into quotes")
        if hasattr(known[key], "__dataclass_fields__") and not isinstance(value, known[key]):
            if not isinstance(value, Mapping):
                raise InputError(f"{where}: {key} is '{value}', expected {KINDS['dict']}; correct it")
            _known_keys(known[key], value, f"{where}, {key}")


def plain(message: str) -> str:
    """What jsonargparse says, as one sentence a newcomer understands."""
    message = " ".join(message.split())
    found = re.search(r'key "(?P<key>[^"]+)": Expected an? (?P<kind>.+?)\. Got value: (?P<value>.*)', message)
    union = r'key "(?P<key>[^"]+)": Does not validate .*?Subtypes: \[(?P<kind>.*?)\] Errors.*Given value: (?P<value>.*)'
    found = found or re.search(union, message)
    if found:
        return f"{found['key']} is '{found['value']}', expected {_kind(found['kind'])}; correct it"
    if long := re.search(r'key "([^"]+)": Exceeds the limit', message):
        return f"{long[1]} is a number of more digits than anyone means, expected a smaller one; correct it"
    missing = re.search(r"arguments? (?:are|is) required: (.*)", message)
    if missing:
        return f"{missing[1]} missing, expected a value; give it"
    return message


KINDS = {
    "int": "a whole number",
    "float": "a number",
    "tuple": "two numbers",
    "tuple with 2 elements": "two numbers",
    "bool": "true or false",
    "str": "a text",
    "list": "a list",
    "dict": "a mapping of keys to values",
    "NoneType": "null",
    "list[int]": "a list of whole numbers",
    "list[float]": "a list of numbers",
}
"""A type -> as people say it. All tuples that a setting can be are pairs of numbers."""


def _kind(text: str) -> str:
    """Types as people write them: "a whole number or null"."""
    return " or ".join(KINDS.get(kind, kind) for kind in re.sub(r"<class '(\w+)'>", r"\1", text).split(", "))
