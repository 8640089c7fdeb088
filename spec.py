"""Entries of a registry as one line of text: NAME, or NAME:setting=value,setting=value.

    parse_spec("state:position=3", task_kinds)                 the entry, its other settings at their defaults
    spec_of("state", HiddenStates(position=3))                 "state:position=3", the canonical text
    settings_from("heads=4", BertNetwork, "network 'bert'")    {"heads": 4}, only the settings

The annotation of a field says how its value is read: int, float, bool (true, false), str, None (null), or a union of
these. A string is in double quotes, as in JSON, if it contains a comma or would otherwise be read as another type.

The canonical text of an entry omits settings at their defaults and sorts the others by name. It parses back to an
equal entry, so two entries are equal exactly when their canonical texts are.
"""

import json
import math
import re
from collections.abc import Collection
from dataclasses import MISSING
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

from .errors import WORDS, InputError, unknown
from .registry import Registry, default_of, settings_of

T = TypeVar("T")

QUOTED = r'"(?:[^"\\]|\\.)*"'
ITEM = re.compile(rf'\s*(?P<name>\w+)\s*=\s*(?P<value>{QUOTED}|[^",]*?)\s*(?:,(?=.)|$)', re.DOTALL)
INTEGER = re.compile(r"[+-]?[0-9]+")
POWER = re.compile(r"(?P<digits>[+-]?[0-9]+)[eE]\+?(?P<zeros>[0-9]{1,2})")
"""An integer such as 1e6. It is tried last, so a field that may also be a float or a string reads the text as that."""

READ_FIRST = (NoneType, bool, int, float, str)
"""The types in the order in which a union tries them."""

CONSTANTS: dict[type, dict[str, bool | None]] = {NoneType: {"null": None}, bool: {"true": True, "false": False}}
IN_WORDS = {NoneType: "null", bool: "true or false", int: "an integer", float: "a number", str: "a string"}


def split_spec(text: str) -> tuple[str, str]:
    """(name, settings) of NAME:setting=value,...; without a colon the settings are "".

    Args:
        text: NAME or NAME:setting=value,...

    Returns:
        The name and what follows the first colon.

    Raises:
        InputError: if no setting follows the colon.
    """
    name, colon, settings = text.partition(":")
    if colon and not settings.strip():
        raise InputError(f"'{text}' ends after the colon, expected {name}:setting=value; add a setting or write {name}")
    return name.strip(), settings


def parse_spec(text: str, registry: Registry[T]) -> T:
    """Makes the entry that a text names, with the settings that the text gives.

    Args:
        text: NAME or NAME:setting=value,...
        registry: the registry of the entry.

    Returns:
        An instance of the entry.

    Raises:
        InputError: for an unknown name or setting, a value of another type, a missing setting, and values that the
            entry itself refuses.

    Example:
        >>> from satlab.flatness import flatness_measures
        >>> parse_spec("hutch++:probes=10", flatness_measures)
        HutchPlusPlus(probes=10, targets='sampled')
    """
    name, settings = split_spec(text)
    entry, what = registry[name], f"{registry.kind} '{name}'"
    given = settings_from(settings, entry, what)
    for field in settings_of(entry):
        required = field.default is MISSING and field.default_factory is MISSING
        if required and field.name not in given:
            raise InputError(f"{what} needs the setting '{field.name}'; write {name}:{field.name}=VALUE")
    try:
        return entry(**given)
    except InputError as error:
        raise InputError(f"{registry.kind} '{text}': {error}") from None


def settings_from(text: str, entry: type, what: str) -> dict[str, Any]:
    """The settings that a text gives, each as the type that the entry's dataclass declares.

    Args:
        text: setting=value,setting=value; "" gives none.
        entry: a dataclass whose fields are the settings.
        what: what messages call the entry, such as "network 'bert'".

    Returns:
        Name -> value, only for the settings in the text.

    Raises:
        InputError: for a text of another form, an unknown setting, a setting given twice, and a value of another type.
    """
    names = [field.name for field in settings_of(entry)]
    types, given = get_type_hints(entry), {}
    for name, value in _items(text, what):
        if name not in names:
            if not names:
                raise InputError(f"{what} has no settings, but '{name}' is given; remove it")
            raise InputError(f"{what}: {unknown('setting', name, names)}")
        if name in given:
            raise InputError(f"{what}: setting '{name}' is given twice; give it once")
        given[name] = _read(value, types[name], f"{what}: setting '{name}'")
    return given


def spec_of(name: str, entry: object, omitted: Collection[str] = ()) -> str:
    """The canonical text of an entry: its name, then the settings that differ from their defaults, sorted.

    Args:
        name: the registered name of the entry.
        entry: an instance.
        omitted: settings that the name already contains, as "bert-2x128" contains layers and width.

    Returns:
        NAME or NAME:setting=value,...

    Raises:
        InputError: for a value that has no text form, such as a list.
    """
    items = []
    types = get_type_hints(type(entry))
    for field in sorted(settings_of(type(entry)), key=lambda field: field.name):
        value = getattr(entry, field.name)
        required = field.default is MISSING and field.default_factory is MISSING
        if field.name not in omitted and (required or not _same(value, default_of(field))):
            text = _written(value, types[field.name], f"setting '{field.name}' of '{name}'")
            items.append(f"{field.name}={text}")
    return f"{name}:{','.join(items)}" if items else name


def _items(text: str, what: str) -> list[tuple[str, str]]:
    """(setting, value) as written, in the order of the text."""
    items, position = [], 0
    while position < len(text):
        item = ITEM.match(text, position)
        if item is None:
            rest = text[position:]
            raise InputError(f"{what}: cannot read '{rest}', expected setting=value, separated by commas; correct it")
        items.append((item["name"], item["value"]))
        position = item.end()
    return items


def _read(text: str, annotation: Any, where: str) -> Any:
    """The value that a text stands for under a type annotation."""
    kinds = get_args(annotation) or (annotation,)
    quoted = text.startswith('"')
    for kind in READ_FIRST:
        if kind not in kinds or (quoted and kind is not str):
            continue
        try:
            return _as_type(text, kind)
        except ValueError:
            continue
    if int in kinds and (power := POWER.fullmatch(text)):
        return int(power["digits"]) * 10 ** int(power["zeros"])
    expected = [IN_WORDS[kind] for kind in READ_FIRST if kind in kinds]
    if not expected:
        raise InputError(f"{where} cannot be given as text; build the entry in Python")
    raise InputError(f"{where} is '{text}', expected {' or '.join(expected)}; correct it")


def _as_type(text: str, kind: type) -> Any:
    """The text as a value of one type. Raises ValueError if it is not one."""
    if kind is str:
        return json.loads(text) if text.startswith('"') else text
    if kind is int and INTEGER.fullmatch(text):
        return int(text)
    if kind is float and "_" not in text and not math.isnan(number := float(text)):
        return number
    if text in CONSTANTS.get(kind, {}):
        return CONSTANTS[kind][text]
    raise ValueError(text)


def _written(value: Any, annotation: Any, what: str) -> str:
    """The text that `_read` reads as this value, in quotes only if it needs them."""
    if value is not None and type(value) not in READ_FIRST:
        given = WORDS.get(type(value), f"a {type(value).__name__}")
        raise InputError(f"{what} is {given}, which has no text form; use the entry from Python")
    text = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, float):
        text = str(value + 0.0)  # -0.0 equals 0.0 and is written alike
    try:
        ((_, read),) = _items(f"x={text}", what)
        if _same(_read(read, annotation, what), value):
            return text
    except ValueError:
        pass
    return json.dumps(value, ensure_ascii=False)


def _same(value: object, other: object) -> bool:
    """Whether two values are equal and of the same type: 1, 1.0 and true all differ."""
    return type(value) is type(other) and value == other
