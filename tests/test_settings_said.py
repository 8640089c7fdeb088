"""Every setting of every entry of every registry says what it is: help and reference pages show it."""

import pytest
from support import registries

from satlab.registry import settings_of
from satlab.settings import said_of


def test_the_registries_are_found():
    assert {"families", "networks", "optimizers", "probe_methods", "flatness_measures", "theorems"} <= {
        name for _, name in registries.names()
    }


@pytest.mark.parametrize(("module", "name"), registries.names())
def test_no_setting_is_left_unexplained(module, name):
    for entry, kind in registries.registry(module, name).items():
        assert [setting.name for setting in settings_of(kind) if not said_of(kind).get(setting.name)] == [], entry
