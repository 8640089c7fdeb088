"""Lazy packages: a name is imported when it is first used, so importing the package itself is fast.

    from typing import TYPE_CHECKING

    from ..lazy import lazily

    if TYPE_CHECKING:
        from .language import Language

    __all__ = ["Language"]
    __getattr__ = lazily(__name__, __file__)

The block that type checkers read is the only list of the names and their modules; `__getattr__` (PEP 562) reads it too.
"""

import ast
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def lazily(package: str, file: str) -> Callable[[str], object]:
    """The `__getattr__` of a package.

    Args:
        package: its name.
        file: its `__init__.py`, with imports of the form `from .module import name` under `if TYPE_CHECKING:`.

    Returns:
        A function from a name to the object that the package offers under it. It raises AttributeError for other names.
    """
    homes: dict[str, tuple[str, str]] = {}

    def find(name: str) -> object:
        if not homes:
            homes.update(_homes(ast.parse(Path(file).read_text(encoding="utf-8"))))
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, original = homes[name]
        found: Any = getattr(importlib.import_module(module, package), original)
        return found

    return find


def _homes(tree: ast.Module) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yields (name, (module, name in that module)) for each import under `if TYPE_CHECKING:`."""
    for block in tree.body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        home = "." * node.level + (node.module or "")
                        yield alias.asname or alias.name, (home, alias.name)
