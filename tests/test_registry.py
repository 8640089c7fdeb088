"""Registries: names, settings, and plug-ins of other packages."""

import importlib
import re
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
    with pytest.raises(InputError, match="shape 'square' is already registered"):

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


ENDINGS = {
    "raise RuntimeError('no such\\nthing')": "no such thing",
    "raise RuntimeError": "RuntimeError",
    "import sys; sys.exit('missing licence')": "missing licence",
    "import sys; sys.exit(0)": r"it calls sys.exit\(0\)",
    "import sys; sys.exit()": r"it calls sys.exit\(0\)",
    "class Odd(BaseException): pass\nraise Odd('odd')": "odd",
    "raise GeneratorExit": "GeneratorExit",
    "import no_such_module": "No module named 'no_such_module'",
    "this is no Python": "invalid syntax",
}
"""A plug-in's code -> what the warning says of it."""


@pytest.mark.parametrize("number", range(len(ENDINGS)))
def test_a_plug_in_that_fails_is_left_out_with_one_warning(number, tmp_path, monkeypatch, capsys):
    code, said = list(ENDINGS.items())[number]
    install(tmp_path, "broken", f"plugin_that_fails{number}", f"print('hello')\n{code}\n")
    install(tmp_path, "other", f"plugin_beside_it{number}", "print('here')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match="plug-in") as caught:
        load_plugins()
    (warning,) = caught
    assert re.fullmatch(
        rf"plug-in broken \(plugin_that_fails{number}\) cannot be loaded: {said}.*; it is left out",
        str(warning.message),
    )
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("here") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_plugins()


@pytest.mark.parametrize("place", ["plugin_without_it:missing", "plugin_without_it:", "no such module"])
def test_an_entry_point_that_names_what_is_not_there(place, tmp_path, monkeypatch):
    install(tmp_path, "broken", "plugin_without_it", "loaded = 1\n")
    (tmp_path / "broken-1.dist-info" / "entry_points.txt").write_text(f"[{PLUGINS}]\nbroken = {place}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_plugins()
    assert [str(each.message)[:16] for each in caught] == ["plug-in broken ("]


def test_a_list_of_plug_ins_that_cannot_be_read(tmp_path, monkeypatch):
    install(tmp_path, "broken", "plugin_unlisted", "loaded = 1\n")
    (tmp_path / "broken-1.dist-info" / "entry_points.txt").write_text(f"[{PLUGINS}]\nnonsense\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.warns(UserWarning, match="the list of plug-ins cannot be read: .*; no plug-in is loaded"):
        load_plugins()


def test_an_interruption_of_a_plug_in_ends_the_command(tmp_path, monkeypatch):
    install(tmp_path, "slow", "plugin_interrupted", "raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        load_plugins()
