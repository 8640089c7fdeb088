"""The base class of families of languages, and the conversion of the keys of a YAML file to a family's settings."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import MISSING, Field
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from ...errors import WORDS, InputError, nearest, plain_number, unknown
from ...registry import Registry, settings_of
from ..language import Language


class Family(ABC):
    """Languages of one kind. An entry is a frozen dataclass whose fields are the keys that a YAML file may contain.

    The types of the fields say which values are allowed, and their defaults say which keys may be left out. A random
    family derives all its random choices from its field `seed`. If a family has a field `max_length` or `length`,
    callers can replace this bound.
    """

    @abstractmethod
    def build(self) -> Language:
        """The language that the settings describe.

        Raises:
            InputError: for settings that do not fit together.
        """


families: Registry[Family] = Registry("family", __package__ or "")


def language_of(name: str, content: Mapping[str, Any], max_length: int | None = None) -> Language:
    """Builds a language of a family from the keys and values of a YAML file.

    Args:
        name: the name of the family.
        content: the other keys and their values.
        max_length: replaces the family's `max_length` or `length`; None replaces nothing.

    Returns:
        The language.

    Raises:
        InputError: for an unknown name or key, a value of another type, a missing key, a max_length for a family
            without such a field, and settings that the family itself refuses.
    """
    family, given = families[name], dict(content)
    types = get_type_hints(family)
    fields = {field.name: field for field in settings_of(family)}
    if max_length is not None:
        bound = "max_length" if "max_length" in fields else "length"
        if bound not in fields:
            raise InputError(f"the layers of family {name} determine its length; change them instead of max_length")
        given[bound] = max_length
    for key, value in given.items():
        if key not in fields:
            missing = [field for field, f in fields.items() if _required(f) and field not in given]
            if missing and nearest(key, missing) is None:
                raise InputError(
                    f"unknown key of family {name} '{key}', and '{missing[0]}' is missing; rename the key, or add "
                    f"'{missing[0]}'"
                )
            raise InputError(str(unknown(f"key of family {name}", key, fields)))
        given[key] = typed(key, value, types[key])
    for key, field in fields.items():
        if _required(field) and key not in given:
            raise InputError(f"family {name} lacks the key '{key}'; add it")
    return family(**given).build()


def _required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def typed(key: str, value: Any, annotation: Any) -> Any:
    """The value of a key, after checking that it has the annotated type.

    Args:
        key: the name of the key in messages.
        value: the value from YAML. Numbers that YAML reads as strings, such as 1e-3, are read as numbers.
        annotation: a type or a union of types. For list[...] and dict[...], only list and dict are checked.

    Returns:
        The value; a float if the annotation allows a float and the value is a number.

    Raises:
        InputError: for a value of another type.
    """
    union = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    kinds = tuple(get_origin(kind) or kind for kind in union)
    given, value = value, plain_number(value)
    if float in kinds and isinstance(value, (str, int)) and not isinstance(value, bool):
        try:
            value = float(value)
        except (ValueError, OverflowError):
            value = math.nan
    valid = (
        isinstance(value, kinds)
        and not (isinstance(value, bool) and bool not in kinds)
        and not (isinstance(value, float) and math.isnan(value))
    )
    if not valid:
        names = " or ".join(WORDS.get(kind, kind.__name__) for kind in kinds)
        if isinstance(given, float) and math.isnan(given):
            names = names.replace("a number", "a finite number")
        raise InputError(f"key '{key}' is {given!r:.200}, expected {names}; correct it")
    return value
