"""Every setting of every entry of every registry says what it is: help and reference pages show it."""

import importlib
import re

import pytest
from support import ROOT

from satlab.registry import Registry, settings_of
from satlab.settings import said_of

DECLARED = re.compile(r"^(\w+): Registry\[.*\] = Registry\(", re.MULTILINE)


def registries():
    """(module, name) of every registry of the package."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] in ("generators", "models", "train", "probes", "flatness", "theory", "lab"):
            module = ".".join(("satlab", *inside.with_suffix("").parts))
            yield from ((module, name) for name in DECLARED.findall(path.read_text(encoding="utf-8")))


def test_the_registries_are_found():
    assert {"families", "networks", "optimizers", "probe_methods", "flatness_measures", "theorems"} <= {
        name for _, name in registries()
    }


@pytest.mark.parametrize(("module", "name"), list(registries()))
def test_no_setting_is_left_unexplained(module, name):
    registry = getattr(importlib.import_module(module), name)
    assert isinstance(registry, Registry)
    assert len(list(registry)) > 0
    for entry, kind in registry.items():
        assert [setting.name for setting in settings_of(kind) if not said_of(kind).get(setting.name)] == [], entry
