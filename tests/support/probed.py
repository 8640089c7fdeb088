"""A run that is small enough to be probed often."""

import shutil
from pathlib import Path

import pytest

from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run

FEW = {"train_sentences": 60, "test_sentences": 50, "seeds": 2}


GIVEN = "--train-sentences 60 --test-sentences 50 --seeds 2"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two layers on sentences of up to 8 words, with two checkpoints."""
    folder = tmp_path_factory.mktemp("probes") / "run"
    line = f"train demo-pcfg --out {folder} --model bert-2x8 --steps 4 --batch-size 8 --checkpoints [2,4]"
    assert cli.run(f"{line} --evaluation-sentences 50 --threshold 1e-9".split()) == 0
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return load_run(Path(shutil.copytree(trained, tmp_path / "run")))
