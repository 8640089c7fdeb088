"""What pages tell a reader to type, typed: the tutorial's commands, and the Python of the README and the guide."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from support import ROOT


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_block(code, names):
    exec(compile(code, "page", "exec"), names)


@pytest.mark.slow
def test_the_python_of_the_pages_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (readme,) = blocks("README.md", "python")
    names = {}
    run_block(readme.replace("steps=2000", "steps=20"), names)
    run_block(blocks("docs/training.md", "python")[0].replace("steps=2000", "steps=20").replace('"out"', '"2"'), names)
    for page in ("docs/probes.md", "docs/flatness.md", "docs/languages.md"):
        for code in blocks(page, "python"):
            run_block(code.replace("2000", "200"), names)
    assert 0 < names["accuracy"].value <= 1
    assert names["trace"].value > 0


@pytest.mark.slow
def test_the_tutorial_gives_what_it_says(tmp_path):
    (grammar,) = [text for text in blocks("docs/tutorial.md", "text") if text.startswith("S ")]
    assert grammar == (ROOT / "docs/tutorial/toy.pcfg").read_text(encoding="utf-8")
    (tmp_path / "toy.pcfg").write_text(grammar, encoding="utf-8")
    (study,) = blocks("docs/tutorial.md", "yaml")
    assert study == (ROOT / "docs/tutorial/mine.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(study, encoding="utf-8")
    said = {}
    for fence in blocks("docs/tutorial.md", "bash"):
        for line in fence.replace("\\\n", " ").splitlines():
            command, *words = shlex.split(line)
            if command != "satlab" or words[0] == "--help" or "studies/demo.yaml" in words:
                continue
            call = [sys.executable, "-m", "satlab", *words]
            done = subprocess.run(
                call,
                cwd=tmp_path,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{line}: {done.stderr}"
            said[words[0]] = done.stdout
    assert set(said) == {"show", "floor", "train", "evaluate", "probe", "flatness", "plot", "report", "study"}
    kept = json.loads((ROOT / "docs/tutorial/floor.jsonl").read_text(encoding="utf-8"))
    floor = json.loads(said["floor"])
    assert floor["floor_nats"] == pytest.approx(kept["floor_nats"], rel=1e-9)
    assert json.loads(said["train"])["stopped"] == "saturated"
    for page in ("tree.png", "run/report.html", "run/figures/flatness_vs_accuracy-tree-B.png"):
        assert (tmp_path / page).stat().st_size > 0
    for page in ("results/mine/report.html", "results/mine/figures/same_loss-tree-B.png"):
        assert (tmp_path / page).stat().st_size > 0
