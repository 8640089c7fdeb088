"""Packages whose names are imported when they are first used, so that nobody waits for what is not.

    from typing import TYPE_CHECKING

    from ..lazy import lazily

    if TYPE_CHECKING:
        from .language import Language

    __all__ = ["Language"]
    __getattr__ = lazily(__name__, __file__)

The block that type checkers read is the only place that says where a name comes from (PEP 562).
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
        A function name -> what the package offers under this name; an AttributeError for any other name.
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
    """(name, (module, name there)) of what is imported under `if TYPE_CHECKING:`."""
    for block in tree.body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for node in block.body:
                if isinstance(node, ast.ImportFrom):
                    for alias in node.names:
                        home = "." * node.level + (node.module or "")
                        yield alias.asname or alias.name, (home, alias.name)
