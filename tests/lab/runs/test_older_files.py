"""What an older satlab wrote is read, measured, drawn and gone on with as if this one had written it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support import TESTS
from support.studies import lines

from satlab.generators import load_language
from satlab.generators.corpus.manifest import open_corpus
from satlab.lab.cli import main as cli
from satlab.models import load_model

OLD = TESTS / "fixtures" / "first_layout"
RUN = Path("study") / "runs" / "bert-1x8-seed0"
STUDY = ["study", "tiny.yaml", "--out", "study", "--workers", "1"]


@pytest.fixture
def old(tmp_path, monkeypatch):
    """A copy of the files, in which the test works."""
    shutil.copytree(OLD, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")
    return tmp_path / "old"


def test_a_run_is_loaded_with_its_language(old):
    model = load_model(old / RUN)
    assert model.name == "bert-1x8"
    assert load_language(old / RUN / "language.npz").vocab_size == model.vocab_size


def test_what_was_measured_is_not_measured_again(old):
    before = {path: path.read_bytes() for path in sorted((old / "study").rglob("*.jsonl"))}
    assert len(before) == 3
    assert cli.run(STUDY) == 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_measurement_with_other_settings_is_added(old):
    results = old / RUN / "results.jsonl"
    before = lines(results)
    assert cli.run(["flatness", str(RUN), "--method", "hutchinson", "--contexts", "20", "--probes", "4"]) == 0
    after = lines(results)
    assert after[: len(before)] == before
    assert {row["method"] for row in after[len(before) :]} == {"hutchinson"}
    assert {row["step"] for row in after[len(before) :]} == {2, 4}


def test_figures_and_the_report_are_drawn(old):
    assert cli.run(["plot", "study", "--out", "figures"]) == 0
    assert (old / "figures" / "kl_vs_step.png").stat().st_size > 1000
    assert cli.run(["report", "study", "--out", "report.html"]) == 0
    assert "bert-1x8" in (old / "report.html").read_text()


def test_a_run_that_was_stopped_goes_on_as_it_would_have(old):
    """The weights agree to rounding: which library multiplies depends on the chip."""
    checkpoint = old / RUN / "checkpoints" / "step-00000004"
    before = load_file(checkpoint / "model.safetensors")
    shutil.rmtree(checkpoint)
    (old / RUN / "metrics.jsonl").write_text((old / RUN / "metrics.jsonl").read_text().splitlines()[0] + "\n")
    assert cli.run(STUDY) == 0
    after = load_file(checkpoint / "model.safetensors")
    assert before.keys() == after.keys()
    for name, values in before.items():
        torch.testing.assert_close(after[name], values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["corpus", "corpus-bin"])
def test_a_corpus_is_whole(old, name, capsys):
    assert cli.run(["verify", name]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["damaged"] == 0
    assert len(open_corpus(old / name)) >= 1


def test_the_same_command_writes_the_same_words(old):
    assert cli.run(["generate", "demo-hmm", "--sentences", "40", "--out", "again", "--format", "bin"]) == 0
    assert (old / "again" / "train.bin").read_bytes() == (old / "corpus-bin" / "train.bin").read_bytes()
