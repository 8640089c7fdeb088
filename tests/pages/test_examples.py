"""The scripts of examples/ run as they stand and as notebooks, and are as short as they are said to be."""

import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from support import ROOT

FIRST, *GALLERY = sorted((ROOT / "examples").glob("*.py"), key=lambda path: (path.stem != "grammar_to_figure", path))
SHORTEST = ROOT / "examples/exact_truth.py"
"""The gallery's script that trains nothing."""

FIGURE = Path("results/example/figure.png")
MOST_BYTES = 80_000
"""Of a picture of the gallery, which git keeps for ever."""


def figure_of(script):
    """Where a script of the gallery leaves its picture."""
    return Path(f"results/gallery/{script.stem}.png")


def cells(text):
    """A notebook's cells, each headed by # %%, as jupytext cuts them."""
    return ["# %%" + cell for cell in ("\n" + text).split("\n# %%")[1:]]


def run_script(script, folder):
    """What it prints."""
    done = subprocess.run(
        [sys.executable, str(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_cells(script, monkeypatch, folder):
    """Each cell is code by itself, knows of no command line, and works after those before it."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "/nowhere/kernel.json"])

    parts = cells(script.read_text())
    assert len(parts) >= 3
    names = {"__name__": "__main__"}
    for part in parts:
        exec(compile(part, script.name, "exec"), names)
    return names


@pytest.mark.slow
def test_the_first_example_draws_its_figure(tmp_path):
    assert len(FIRST.read_text().splitlines()) < 40
    assert "KL " in run_script(FIRST, tmp_path)
    assert (tmp_path / FIGURE).read_bytes().startswith(b"\x89PNG")


def test_the_first_example_runs_cell_by_cell(tmp_path, monkeypatch):
    """It has a panel for each size."""
    run_cells(FIRST, monkeypatch, tmp_path)
    assert FIGURE.read_bytes().startswith(b"\x89PNG")
    figure = plt.gcf()
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == ["bert-1x8", "bert-2x16"]
    for axes in figure.axes:
        assert all(bars.has_xerr and bars.has_yerr for bars in axes.containers)
        assert axes.get_legend() is None
        assert len(axes.texts) == len(axes.containers) == 3
    plt.close("all")


def test_the_truth_is_the_enumeration(tmp_path, monkeypatch):
    names = run_cells(SHORTEST, monkeypatch, tmp_path)
    assert names["gap"] < 1e-12
    assert figure_of(SHORTEST).read_bytes().startswith(b"\x89PNG")
    plt.close("all")


@pytest.mark.slow
@pytest.mark.parametrize("script", [path for path in GALLERY if path != SHORTEST], ids=lambda path: path.stem)
def test_a_script_of_the_gallery_draws_its_picture(script, tmp_path):
    assert "+-" in run_script(script, tmp_path)
    assert (tmp_path / figure_of(script)).read_bytes().startswith(b"\x89PNG")


def test_the_gallery_shows_every_script_with_its_picture():
    """One section for each: the picture, two lines of caption, the link."""
    page = (ROOT / "docs/gallery.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"^## .+\n\n!\[[^\]]+\]\(gallery/(\w+)\.png\)\n\n.+\n.+\n\[`examples/\1\.py`\]\(.*/examples/\1\.py\)$",
        page,
        re.MULTILINE,
    )
    assert sorted(shown) == [path.stem for path in GALLERY]
    assert {path.stem for path in ROOT.glob("docs/gallery/*.png")} == set(shown)
    for script in GALLERY:
        assert len(script.read_text().splitlines()) < 60, script.name
        assert len(cells(script.read_text())) >= 3, script.name
        assert (ROOT / f"docs/gallery/{script.stem}.png").stat().st_size < MOST_BYTES, script.name
