"""The names of a configuration's settings, read off its source: its class need not be imported, which takes seconds."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def setting_names(module: str, name: str, entries: str | None) -> frozenset[str] | None:
    """The names of the fields that a dataclass is made from.

    Args:
        module: of the class, below satlab, such as "train.config".
        name: of the class.
        entries: package below satlab whose registered classes add their fields to those of the class; None for none.

    Returns:
        The names, those that packages of others add left aside; None where the sources are not there.
    """
    try:
        found = set(_fields(_classes(ROOT.joinpath(*module.split(".")).with_suffix(".py")), name))
        if entries is not None:
            found.update(_fields_of_entries(ROOT.joinpath(*entries.split("."))))
    except (OSError, SyntaxError, KeyError):
        return None
    return frozenset(found)


def has_plugins() -> bool:
    """Whether packages of others may add settings."""
    from importlib.metadata import entry_points

    from ...registry import PLUGINS

    return bool(entry_points(group=PLUGINS))


def _fields_of_entries(package: Path) -> Iterator[str]:
    """The fields of every registered class of a package's modules."""
    classes: dict[str, ast.ClassDef] = {}
    for path in sorted(package.glob("*.py")):
        classes |= _classes(path)
    for name, definition in classes.items():
        if any(_registers(decorator) for decorator in definition.decorator_list):
            yield from _fields(classes, name)


def _classes(path: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(classes: dict[str, ast.ClassDef], name: str) -> Iterator[str]:
    """The fields of a class, and of those of its bases that are defined beside it."""
    for base in classes[name].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            yield from _fields(classes, base.id)
    for node in classes[name].body:
        # PYTHON_ONLY marks a field that no flag sets.
        if isinstance(node, ast.AnnAssign) and not {"ClassVar", "PYTHON_ONLY"} & _names_in(node):
            yield ast.unparse(node.target)


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def _registers(decorator: ast.expr) -> bool:
    """Whether a decorator is `registry.register("name")`."""
    return isinstance(decorator, ast.Call) and getattr(decorator.func, "attr", None) == "register"
