"""Reads what registered classes declare from their source files, because importing them would take seconds."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

Classes = Mapping[str, ast.ClassDef]


@dataclass(frozen=True)
class Declared:
    """A registered class.

    Args:
        settings: the names of its fields.
        bases: the names of its bases, and of the bases of those defined in the same package.
        flags: the class attributes that it sets to a constant, name -> value.
    """

    settings: frozenset[str]
    bases: frozenset[str]
    flags: Mapping[str, object]


@cache
def declared_in(package: str) -> Mapping[str, Declared]:
    """The classes that the modules of a package register, read once in a process.

    Args:
        package: a package within satlab, such as "flatness.estimators".

    Returns:
        The name of each entry -> its class.

    Raises:
        OSError, SyntaxError: if the source files cannot be read.
    """
    classes: dict[str, ast.ClassDef] = {}
    for path in sorted(ROOT.joinpath(*package.split(".")).glob("*.py")):
        classes |= classes_of(path)
    found = {}
    for definition in classes.values():
        for name in _registered_as(definition):
            line = list(_line(classes, definition.name))
            bases = {ast.unparse(base) for each in line for base in each.bases}
            flags = {key: value for each in line for key, value in _flags(each)}
            found[name] = Declared(frozenset(fields_of(classes, definition.name)), frozenset(bases), flags)
    return found


def has_plugins() -> bool:
    """Whether other installed packages may register classes."""
    from importlib.metadata import entry_points

    from ..registry import PLUGINS

    return bool(entry_points(group=PLUGINS))


def classes_of(path: Path) -> dict[str, ast.ClassDef]:
    """The classes of a module: name -> definition."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def fields_of(classes: Classes, name: str) -> Iterator[str]:
    """The fields of a class, after those of its bases that are among the classes."""
    for definition in _line(classes, name):
        for node in definition.body:
            # PYTHON_ONLY marks a field that no option of the command line sets.
            if isinstance(node, ast.AnnAssign) and not {"ClassVar", "PYTHON_ONLY"} & _names_in(node):
                yield ast.unparse(node.target)


def _line(classes: Classes, name: str) -> Iterator[ast.ClassDef]:
    """The definitions of a class's bases among the classes, then its own."""
    for base in classes[name].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _line(classes, base.id)
    yield classes[name]


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _flags(definition: ast.ClassDef) -> Iterator[tuple[str, object]]:
    for node in definition.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(targets[0], ast.Name) and isinstance(value, ast.Constant):
            yield targets[0].id, value.value


def _registered_as(definition: ast.ClassDef) -> Iterator[str]:
    """The name in each decorator of the form `registry.register("name")`."""
    for decorator in definition.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", None) == "register":
            yield ast.literal_eval(decorator.args[0])
