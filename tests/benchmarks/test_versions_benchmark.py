"""Two checkouts side by side: cases in turns, and a ratio of this one's rate to the other's."""

import argparse
import sys

import pytest
from support.benchmark_scripts import FOLDER, loaded

LANGUAGES = """
import time
from timing import Case
def work(): time.sleep({seconds}); return 10
def cases(device, folder): yield from (Case("draws", "words", work), Case("to disk", "words", work))
"""
TRAINING = "LANGUAGES, CPU_ROWS = (), {}"
FLATNESS = """
import itertools
def library(model, language, seed, method): return ((4, 1.0, 1.0) for _ in itertools.count())
"""


def checkout(folder, seconds):
    """A folder with an interpreter and benchmarks, in which a piece of work takes so many seconds."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / "benchmarks").mkdir()
    python = folder / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    (folder / "benchmarks/timing.py").write_text((FOLDER / "timing.py").read_text())
    scripts = {"languages": LANGUAGES.format(seconds=seconds), "training": TRAINING, "flatness_cases": FLATNESS}
    for name, text in scripts.items():
        (folder / f"benchmarks/{name}.py").write_text(text)
    return folder


@pytest.fixture
def versions():
    with loaded("versions") as module:
        yield module


@pytest.mark.slow
def test_the_slower_checkout_has_the_larger_ratio_beside_it(versions, tmp_path):
    given = argparse.Namespace(threads=1, only="")
    sides = [versions.Side(checkout(tmp_path / name, seconds), given) for name, seconds in (("a", 0.05), ("b", 0.5))]
    rows = versions.compare(sides, 2)
    recipes = ("random-factor", "sampled-gradient", "by-parts")
    assert [row["case"] for row in rows] == [*(f"flatness, {name}" for name in recipes), "draws"]
    assert rows[-1]["n"] == 2
    assert rows[-1]["ratio"] > 1


def test_a_checkout_without_an_environment_is_one_line(versions, tmp_path):
    with pytest.raises(SystemExit, match=r"\.venv/bin/python does not exist; make an environment there: make -C"):
        versions.Side(tmp_path, argparse.Namespace(threads=1, only=""))


@pytest.mark.slow
def test_a_name_that_no_case_has_is_one_line(versions, tmp_path):
    given = argparse.Namespace(threads=1, only="nothing")
    sides = [versions.Side(checkout(tmp_path / name, 0.01), given) for name in "ab"]
    with pytest.raises(SystemExit, match="no case has 'nothing' in its name"):
        versions.compare(sides, 2, given.only)
