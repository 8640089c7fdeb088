"""The scripts of examples/ run as they stand and as notebooks, and are as short as they are said to be."""

import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from support import ROOT

SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
FIGURE = Path("results/example/figure.png")


def cells(text):
    """A notebook's cells, each headed by # %%, as jupytext cuts them."""
    return ["# %%" + cell for cell in ("\n" + text).split("\n# %%")[1:]]


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_draws_its_figure(script, tmp_path):
    done = subprocess.run(
        [sys.executable, str(script)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / FIGURE).read_bytes().startswith(b"\x89PNG")
    assert "KL " in done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_an_example_runs_cell_by_cell(script, tmp_path, monkeypatch):
    """Each cell is code by itself, knows of no command line, and works after those before it; a panel for each size."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher.py", "-f", "/nowhere/kernel.json"])
    assert len(script.read_text().splitlines()) < 40
    parts = cells(script.read_text())
    assert len(parts) >= 3
    names = {"__name__": "__main__"}
    for part in parts:
        exec(compile(part, script.name, "exec"), names)
    assert FIGURE.read_bytes().startswith(b"\x89PNG")
    figure = plt.gcf()
    figure.canvas.draw()
    assert [axes.get_title() for axes in figure.axes] == ["bert-1x8", "bert-2x16"]
    for axes in figure.axes:
        assert all(bars.has_xerr and bars.has_yerr for bars in axes.containers)
        assert axes.get_legend() is None
        assert len(axes.texts) == len(axes.containers) == 3
    plt.close("all")
