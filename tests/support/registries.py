"""All registries of the package, found in its source files."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager

from satlab.registry import Registry

from . import ROOT

PACKAGES = ("generators", "models", "train", "probes", "flatness", "theory", "lab")
DECLARED = re.compile(r"^(\w+): Registry\[.*\] = Registry\(", re.MULTILINE)


def names():
    """(module, name) of every registry."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(("satlab", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
            found += [(module, name) for name in DECLARED.findall(path.read_text(encoding="utf-8"))]
    return found


def registry(module, name) -> Registry[object]:
    """The registry, with all its entries imported."""
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Registry)
    assert len(found) > 0
    return found


@contextmanager
def unchanged() -> Iterator[None]:
    """All registries have the same entries after the block as before."""
    before = [(found, dict(found.entries)) for found in (registry(*where) for where in names())]
    try:
        yield
    finally:
        for found, entries in before:
            found.entries = entries
