"""The drawing of the architecture shows the folders and imports that the code has."""

import importlib.util
import re

from support import ROOT


def drawer():
    spec = importlib.util.spec_from_file_location("draw_imports", ROOT / "docs/draw_imports.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_drawing_has_every_folder_and_arrow_of_the_code():
    draw = drawer()
    drawn = (ROOT / "docs/imports.svg").read_text(encoding="utf-8")
    shown = set(re.findall(r'data-from="([^"]+)" data-to="([^"]+)"', drawn))
    found = draw.arrows()
    assert re.findall(r'class="folder"[^>]*>([^<]+)<', drawn) == draw.rows(found), "run python docs/draw_imports.py"
    assert shown == draw.between_packages(found) | draw.within_packages(found), "run python docs/draw_imports.py"


def test_imports_are_read_as_they_are_written():
    found = drawer().arrows()
    assert ("theory", "flatness") in found
    assert ("lab/measurements", "lab/runs") in found
    assert ("lab/cli/commands", "theory") in found
    assert not any(target.startswith("lab") for source, target in found if not source.startswith("lab"))


def test_packages_import_downwards():
    draw = drawer()
    found = draw.arrows()
    place = {folder: number for number, folder in enumerate(draw.rows(found))}
    first = {}
    for folder, number in place.items():
        first.setdefault(draw.package_of(folder), number)
    assert all(first[source] < first[target] for source, target in draw.between_packages(found))
