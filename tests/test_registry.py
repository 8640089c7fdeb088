"""Registries: names, settings, and plug-ins of other packages."""

import importlib
import sys
import warnings
from dataclasses import dataclass, field

import pytest

from satlab.errors import InputError
from satlab.registry import PLUGINS, Registry, default_of, load_plugins, settings_of


class Shape:
    """What the entries of these tests are."""


@pytest.fixture
def shapes():
    made: Registry[Shape] = Registry("shape")

    @made.register("square")
    @dataclass(frozen=True)
    class Square(Shape):
        side: float = 1.0
        corners: list[int] = field(default_factory=lambda: [4])

    return made


def test_an_entry_is_found_by_its_name(shapes):
    assert list(shapes) == ["square"]
    assert shapes["square"]().side == 1.0
    assert shapes.name_of(shapes["square"]) == shapes.name_of(shapes["square"]()) == "square"
    assert "circle" not in shapes


def test_an_unknown_name_offers_the_nearest(shapes):
    with pytest.raises(InputError, match="unknown shape 'sqare': did you mean 'square'"):
        shapes["sqare"]


def test_a_name_is_given_once(shapes):
    with pytest.raises(InputError, match="shape 'square' is registered already"):

        @shapes.register("square")
        class Other(Shape):
            pass


def test_the_same_class_may_be_registered_again_as_a_reloaded_module_does(shapes):
    square = shapes["square"]
    assert shapes.register("square")(square) is square


def test_settings_are_the_fields_that_are_given(shapes):
    assert [(setting.name, default_of(setting)) for setting in settings_of(shapes["square"])] == [
        ("side", 1.0),
        ("corners", [4]),
    ]
    assert settings_of(Shape) == ()


def test_homes_are_imported_when_the_registry_is_first_read(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "home_of_shapes.py").write_text("loaded = True\n")
    made: Registry[Shape] = Registry("shape", "home_of_shapes")
    assert "home_of_shapes" not in sys.modules
    assert len(made) == 0
    assert "home_of_shapes" in sys.modules


def install(folder, name, module, text):
    """A package as pip leaves it, with one entry point of the group, in a folder that is on the path."""
    (folder / f"{module}.py").write_text(text)
    info = folder / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{PLUGINS}]\n{name} = {module}\n")


def test_a_package_of_others_registers_by_its_entry_point(tmp_path, monkeypatch, shapes):
    install(tmp_path, "circles", "plugin_with_circles", "loaded = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    load_plugins()
    assert sys.modules["plugin_with_circles"].loaded == 1


def test_a_plug_in_that_fails_is_left_out_with_one_warning(tmp_path, monkeypatch):
    install(tmp_path, "broken", "plugin_that_fails", "raise RuntimeError('no such\\nthing')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(
        UserWarning, match=r"plug-in broken \(plugin_that_fails\) cannot be loaded: no such thing; it is"
    ):
        load_plugins()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_plugins()
