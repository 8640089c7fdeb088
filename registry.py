"""Registries: the points at which satlab is extended. Each registry maps names to the classes of one kind.

    optimizers: Registry[Optimizer] = Registry("optimizer", "satlab.train.optimizers")

    @optimizers.register("adamw")
    @dataclass(frozen=True)
    class AdamW(Optimizer):
        '''AdamW (Loshchilov and Hutter 2019).'''

        lr: float = 1e-3  # peak learning rate

An entry is a class. An entry with settings is a frozen dataclass, and its fields are the settings. Other packages add
entries through the entry-point group `satlab.plugins`: each entry point names a module, which registers its entries
when it is imported.
"""

import importlib
import importlib.metadata
import pkgutil
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any, TypeVar

from .errors import InputError, unknown

PLUGINS = "satlab.plugins"
"""The entry-point group through which other packages register entries."""

T = TypeVar("T")
E = TypeVar("E", bound=type)


class Registry(Mapping[str, type[T]]):
    """The entries of one kind, by name, in alphabetical order.

    Args:
        kind: what messages call an entry, such as "flatness measure".
        *homes: modules that register the built-in entries, or packages of such modules. They are imported when the
            registry is first read.
    """

    def __init__(self, kind: str, *homes: str) -> None:
        self.kind, self.homes = kind, homes
        self.entries: dict[str, type[T]] = {}
        self.complete = False

    def register(self, name: str) -> Callable[[E], E]:
        """A decorator that adds a class.

        Args:
            name: the name of the entry.

        Returns:
            The decorator. It raises InputError if another class has the name.
        """

        def add(entry: E) -> E:
            known = self.entries.setdefault(name, entry)
            if (known.__module__, known.__qualname__) != (entry.__module__, entry.__qualname__):
                place = f"{known.__module__}.{known.__qualname__}"
                raise InputError(f"{self.kind} '{name}' is already registered by {place}; choose another name")
            self.entries[name] = entry
            return entry

        return add

    def __getitem__(self, name: str) -> type[T]:
        """The entry of this name. Raises InputError, with the nearest name, if there is none."""
        self._load()
        if name not in self.entries:
            raise unknown(self.kind, name, self.entries)
        return self.entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self.entries))

    def __len__(self) -> int:
        self._load()
        return len(self.entries)

    def name_of(self, entry: type[T] | T) -> str:
        """The name under which a class, or the class of an object, is registered.

        Args:
            entry: the class or the object.

        Returns:
            The name.

        Raises:
            KeyError: for a class that is not registered.
        """
        kind = entry if isinstance(entry, type) else type(entry)
        for name, known in self.items():
            if known is kind:
                return name
        raise KeyError(kind)

    def is_built_in(self, name: str) -> bool:
        """Whether an entry comes from one of the registry's homes rather than from a plug-in."""
        module = self[name].__module__
        return any(module == home or module.startswith(f"{home}.") for home in self.homes)

    def _load(self) -> None:
        if self.complete:
            return
        self.complete = True
        for home in self.homes:
            package = importlib.import_module(home)
            for module in pkgutil.iter_modules(getattr(package, "__path__", [])):
                importlib.import_module(f"{home}.{module.name}")
        load_plugins()


_loaded: set[str] = set()


def load_plugins() -> None:
    """Imports the plug-ins that other packages declare in the entry-point group `satlab.plugins`, each once.

    A plug-in that cannot be imported, even one that calls sys.exit, is left out, with one warning that names it. What a
    plug-in prints during its import goes to stderr.

    Raises:
        KeyboardInterrupt: if the user interrupts the import.
    """
    try:
        points = importlib.metadata.entry_points(group=PLUGINS)
    except Exception as error:  # noqa: BLE001 - a package's own description may be damaged in any way
        warnings.warn(f"the list of plug-ins cannot be read: {_said(error)}; no plug-in is loaded", stacklevel=2)
        return
    for point in points:
        if point.value in _loaded:
            continue
        _loaded.add(point.value)
        try:
            with redirect_stdout(sys.stderr):
                point.load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - what others wrote may fail in any way
            warnings.warn(
                f"plug-in {point.name} ({point.value}) cannot be loaded: {_said(error)}; it is left out", stacklevel=2
            )


def _said(error: BaseException) -> str:
    """An error's message in one line: the call for a SystemExit without text, the type for another empty message."""
    if isinstance(error, SystemExit) and not isinstance(error.code, str):
        return f"it calls sys.exit({error.code or 0})"
    return " ".join(str(error).split()) or type(error).__name__


PYTHON_ONLY = {"python_only": True}
"""The metadata of a field that flags and YAML keys cannot set: `field(default=200, metadata=PYTHON_ONLY)`."""


def settings_of(entry: type) -> tuple[Field[Any], ...]:
    """The settings of an entry: the fields that its dataclass takes on construction, without those `PYTHON_ONLY`."""
    if not is_dataclass(entry):
        return ()
    return tuple(field for field in fields(entry) if field.init and "python_only" not in field.metadata)


def default_of(field: Field[Any]) -> Any:
    """A setting's default.

    Args:
        field: the setting.

    Returns:
        The default. A default factory is called for a new value.

    Raises:
        InputError: for a setting that must be given.
    """
    if field.default is not MISSING:
        return field.default
    if field.default_factory is not MISSING:
        return field.default_factory()
    raise InputError(f"setting '{field.name}' has no default, expected a value; give it")
