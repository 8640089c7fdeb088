"""Configurations that contain the settings of a registry's entries; flags, YAML keys, help and checks follow from them.

    @with_settings_of(flatness_measures, "method")
    @dataclass(frozen=True)
    class FlatnessConfig:
        '''...'''

        method: str = "sampled-gradient"

The decorated class has the field `method` and one field for each setting of any entry of the registry. `chosen(config)`
makes the entry that `method` names, from the fields that this entry has. If `method` is a list of names,
`chosen(config, name)` makes one of them.
"""

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, make_dataclass, replace
from typing import Any, TypeVar, get_args, get_type_hints

import docstring_parser

from .errors import InputError
from .registry import Registry, settings_of

T = TypeVar("T")

REGISTRY = "__settings_registry__"
"""The attribute of a configuration class that holds (registry, name of the field that chooses an entry, settings)."""

DOCUMENTED = "__settings_doc__"
"""The attribute that holds a configuration's generated docstring, which is not in the source."""

WIDTH = 112
"""Columns of a generated docstring."""


@dataclass(frozen=True)
class Setting:
    """A setting that at least one entry of a registry has.

    Args:
        name: the name of the field.
        type: the type of its values.
        default: the default; None if the entries' defaults differ, in which case each entry uses its own.
        said: the descriptions in the entries' docstrings, with the entries' names.
        entries: the names of the entries that have the setting.
    """

    name: str
    type: Any
    default: Any
    said: str
    entries: tuple[str, ...]


def with_settings_of(registry: Registry[Any], choice: str) -> Callable[[type[T]], type[T]]:
    """A decorator that adds a field for each setting of a registry's entries to a frozen dataclass.

    Args:
        registry: the registry. Fields that the class already has stay as they are.
        choice: the field that holds an entry's name or a list of names. The valid names are added to its description.

    Returns:
        The decorator.
    """

    def extend(kind: type[T]) -> type[T]:
        own = {f.name for f in fields(kind)}  # type: ignore[arg-type]
        settings = union(registry)
        added = [setting for setting in settings if setting.name not in own]
        new = [(s.name, s.type, field(default_factory=_returning(s.default))) for s in added]
        text = _documented(kind, added, choice, registry)
        chooses = (registry, choice, settings)
        namespace = {"__doc__": text, DOCUMENTED: text, REGISTRY: chooses, "__module__": kind.__module__}
        made = make_dataclass(kind.__name__, new, bases=(kind,), frozen=True, namespace=namespace)
        made.__qualname__ = kind.__qualname__
        return made

    return extend


def chosen(config: Any, name: str | None = None) -> Any:
    """The entry that the configuration chooses, made from its settings.

    Args:
        config: an instance of a class that `with_settings_of` made.
        name: the entry's name; needed if the configuration chooses several.

    Returns:
        The entry. A setting that is None takes the entry's own default if the entries' defaults differ.

    Raises:
        InputError: for a name that is not registered, for None where the entry needs a value, and for values that the
            entry itself refuses.
    """
    registry, choice, settings = getattr(type(config), REGISTRY)
    name = getattr(config, choice) if name is None else name
    entry = registry[name]
    own_default = {setting.name for setting in settings if setting.default is None}
    given = {s.name: getattr(config, s.name) for s in settings_of(entry) if hasattr(config, s.name)}
    given = {name: value for name, value in given.items() if value is not None or name not in own_default}
    for setting, value in given.items():
        if value is None and not _takes_none(get_type_hints(entry)[setting]):
            raise InputError(
                f"{setting} is null with {choice} {name}, expected a value; give one, or leave the setting out"
            )
    return entry(**given)


def check_unused(config: Any) -> None:
    """Refuses a setting that differs from its default but that no chosen entry has.

    Raises:
        InputError: names the entries that have the setting. If all of these refuse the value, their error is raised
            instead.
    """
    registry, choice, settings = getattr(type(config), REGISTRY)
    names = getattr(config, choice)
    names = [names] if isinstance(names, str) else names
    used = {setting.name for name in names for setting in settings_of(registry[name])}
    for setting in settings:
        given = getattr(config, setting.name)
        if setting.name in used or given in (None, setting.default):
            continue
        refusals = [_refusal(registry[name], {setting.name: given}) for name in setting.entries]
        if refusals[0] is not None and all(refusals):
            raise refusals[0]
        raise InputError(
            f"{setting.name} is {given} with {choice} {', '.join(names)}, which has no such setting (it belongs to "
            f"{', '.join(setting.entries)}); leave it out, or choose another {choice}"
        )


def with_choice(config: T, name: str) -> T:
    """The configuration with another entry. Settings that this entry does not have return to their defaults."""
    registry, choice, settings = getattr(type(config), REGISTRY)
    used = {setting.name for setting in settings_of(registry[name])}
    left = {setting.name: setting.default for setting in settings if setting.name not in used}
    return replace(config, **{choice: name}, **left)  # type: ignore[type-var]  # T is a dataclass


def _refusal(entry: type, given: Mapping[str, Any]) -> InputError | None:
    try:
        entry(**given)
    except InputError as error:
        return error
    return None


def _takes_none(kind: Any) -> bool:
    return type(None) in get_args(kind)


def union(registry: Registry[Any]) -> list[Setting]:
    """The settings of all entries, each name once, in the order of the entries' names.

    Args:
        registry: the registry of the entries.

    Returns:
        The settings.

    Raises:
        InputError: if two entries declare a setting of the same name with different types.
    """
    found: dict[str, Setting] = {}
    told: dict[str, dict[str, list[str]]] = {}
    for name, entry in registry.items():
        types, said = get_type_hints(entry), said_of(entry)
        for setting in settings_of(entry):
            before = found.get(setting.name)
            kind, default = types[setting.name], _default(setting)
            if before is not None and before.type | None != kind | None:
                raise InputError(
                    f"{registry.kind} '{name}': setting {setting.name} has the type {kind}, but {before.type} in "
                    f"{', '.join(before.entries)}; give it that type, or another name"
                )
            if before is not None:
                kind = kind if before.type == kind else kind | None
                if before.default != default:
                    kind, default = kind | None, None
            told.setdefault(setting.name, {}).setdefault(said.get(setting.name, ""), []).append(name)
            entries = (*(before.entries if before else ()), name)
            found[setting.name] = Setting(setting.name, kind, default, _told(told[setting.name]), entries)
    return list(found.values())


def docstring(documented: Any) -> str:
    """The docstring of a function or class. It is read from the source if PYTHONOPTIMIZE=2 removed docstrings."""
    if written := vars(documented).get(DOCUMENTED):
        return str(written)
    if sys.flags.optimize < 2:
        return documented.__doc__ or ""
    try:
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(documented))).body
    except (OSError, SyntaxError, ValueError):
        return ""
    return ast.get_docstring(definition) or ""  # type: ignore[arg-type]


def said_of(kind: type) -> Mapping[str, str]:
    """Name -> its description in the Args of a class's docstring, or of a dataclass that it extends, in one line."""
    documented = [base for base in reversed(kind.__mro__) if is_dataclass(base)]
    params = [param for base in documented for param in docstring_parser.parse(docstring(base)).params]
    return {param.arg_name: " ".join((param.description or "").split()) for param in params}


def _told(said: dict[str, list[str]]) -> str:
    """Joins {description: entries} into one line, such as "of hutchinson, residual: random vectors."."""
    parts = [f"of {', '.join(names)}: {text.rstrip('.')}" for text, names in said.items()]
    return "; ".join(parts) + "."


def _default(setting: Any) -> Any:
    if setting.default_factory is not MISSING:
        return setting.default_factory()
    return None if setting.default is MISSING else setting.default


def _returning(value: Any) -> Callable[[], Any]:
    return lambda: list(value) if isinstance(value, list) else value


def _documented(kind: type, added: list[Setting], choice: str, names: Iterable[str]) -> str:
    """The class's docstring, with the added settings in its Args and the valid names in the choice's description."""
    text = textwrap.dedent("    " + docstring(kind).strip())
    if "Args:" not in text:
        text += "\n\nArgs:"
    told = re.search(rf"^    {choice}: .*(?:\n {{8}}.*)*", text, re.MULTILINE)
    if told is not None:
        said = " ".join(told[0].split()).removesuffix(".")
        text = text.replace(told[0], _argument(f"{said}: {', '.join(names)}."))
    return "\n".join([text, *(_argument(f"{s.name}: {s.said}") for s in added), ""])


def _argument(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="        ", break_on_hyphens=False)
