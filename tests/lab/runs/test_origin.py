"""A second phase of training: it begins with another run's weights, and is a run like any other from then on."""

import json
import shutil

import pytest
import torch
import yaml
from support.training import SHORT

from satlab.errors import InputError
from satlab.lab.runs.origin import Origin, split_origin
from satlab.lab.runs.run import create_run, load_run
from satlab.lab.runs.training import train_run
from satlab.lab.runs.trainings import distinct, origin_of, root_of
from satlab.models import load_model
from satlab.models.build import load_tensors
from satlab.randomness import derive_seed
from satlab.train import TrainConfig

MODEL = "bert-1x8"


def config(**changes):
    return TrainConfig(**(SHORT | {"steps": 16, "checkpoints": [8], "evaluation_sentences": 8} | changes))


@pytest.fixture
def first(tmp_path):
    run = create_run(tmp_path / "first", "demo-hmm", MODEL, config())
    train_run(run)
    return run


def second(first, folder, step=None, **changes):
    run = create_run(folder, "demo-hmm", MODEL, config(**changes), origin=origin_of(first, step))
    train_run(run)
    return load_run(folder)


def test_it_begins_with_the_weights_and_draws_other_sentences(first, tmp_path):
    run = second(first, tmp_path / "second", step=8, lr=1e-30, optimizer="sgd")
    begun, there = load_model(tmp_path / "second"), load_model(first.folder / "checkpoints" / "step-00000008")
    assert all(torch.equal(a, b) for a, b in zip(begun.parameters(), there.parameters(), strict=True))
    assert (run.origin.step, run.origin.phase, run.origin.root) == (8, 1, root_of(first))
    assert run.origin.seed(0) == derive_seed(0, "phase", 1)
    # Not moved at all, and yet another KL: it is measured on other held-out sentences.
    kept = next(row for row in first.metrics if row["step"] == 8)
    assert abs(run.metrics[-1]["kl"] - kept["kl"]) < 6 * kept["kl_stderr"]
    assert run.metrics[-1]["kl"] != kept["kl"]


def test_it_is_the_same_without_the_first_run(first, tmp_path):
    whole = second(first, tmp_path / "whole")
    create_run(tmp_path / "parts", "demo-hmm", MODEL, config(), origin=origin_of(first, None))
    origin = yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())["from"]
    assert origin["weights_sha256"] == origin_of(first, None).weights_sha256
    shutil.copy(tmp_path / "whole" / "start.safetensors", tmp_path / "parts")
    shutil.rmtree(first.folder)
    run = load_run(tmp_path / "parts")
    asked = iter([False] * 5 + [True] * 99)
    with pytest.raises(RuntimeError, match="stopped at step"):
        train_run(run, should_stop=lambda: next(asked))
    train_run(load_run(tmp_path / "parts"))
    parts = load_run(tmp_path / "parts")
    last = [run.checkpoints[-1][1] / "model.safetensors" for run in (whole, parts)]
    assert all(torch.equal(value, load_tensors(last[1])[name]) for name, value in load_tensors(last[0]).items())
    assert [row["kl"] for row in whole.metrics] == [row["kl"] for row in parts.metrics]


def test_a_damaged_first_checkpoint_leads_back_to_the_first_weights(first, tmp_path):
    whole = second(first, tmp_path / "whole")
    create_run(tmp_path / "parts", "demo-hmm", MODEL, config(), origin=origin_of(first, None))
    asked = iter([False] * 8 + [True] * 99)
    with pytest.raises(RuntimeError, match="stopped at step"):
        train_run(load_run(tmp_path / "parts"), should_stop=lambda: next(asked))
    for checkpoint in (tmp_path / "parts" / "checkpoints").iterdir():
        (checkpoint / "model.safetensors").write_bytes(b"")
    with pytest.warns(UserWarning, match="training begins again at step 0"):
        train_run(load_run(tmp_path / "parts"))
    last = [load_tensors(run.checkpoints[-1][1] / "model.safetensors") for run in (whole, load_run(tmp_path / "parts"))]
    assert all(torch.equal(value, last[1][name]) for name, value in last[0].items())


def test_a_third_phase_knows_its_root(first, tmp_path):
    two = second(first, tmp_path / "two")
    three = second(two, tmp_path / "three")
    assert (three.origin.phase, root_of(three)) == (2, root_of(first))
    assert root_of(create_run(tmp_path / "other", "demo-hmm", MODEL, config(seed=1))) != root_of(first)


def test_phases_are_no_copies_of_one_another(first, tmp_path):
    two, three = second(first, tmp_path / "two"), second(first, tmp_path / "three", step=8)
    assert len(distinct([first, two, three])) == 3
    shutil.copytree(two.folder, tmp_path / "copy")
    assert len(distinct([two, load_run(tmp_path / "copy")])) == 1


def test_a_directory_keeps_its_origin(first, tmp_path):
    second(first, tmp_path / "two")
    second(first, tmp_path / "two")  # the same again does nothing
    for origin, given in ((None, "weights of its own"), (origin_of(first, 8), "first:8")):
        with pytest.raises(InputError, match=rf"holds another run \(from .*first:16 there, from .*{given} given\)"):
            create_run(tmp_path / "two", "demo-hmm", MODEL, config(), origin=origin)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("gone", "no run here"),
        ("changed", "not the weights that .* was to begin with"),
        ("damaged", "model.safetensors: damaged, its SHA-256 differs from the one in SHA256SUMS"),
        ("unfinished", "which is unfinished; train that first"),
    ],
)
def test_weights_that_are_not_there_are_told(first, tmp_path, harm, said):
    origin = origin_of(first, None)
    if harm == "unfinished":
        origin = Origin(str(first.folder), 1)
        state = first.folder / "checkpoints" / "step-00000016" / "state.json"
        state.write_text(json.dumps(json.loads(state.read_text()) | {"finished": False}))
    create_run(tmp_path / "two", "demo-hmm", MODEL, config(), origin=origin)
    last = first.folder / "checkpoints" / "step-00000016"
    if harm == "gone":
        shutil.rmtree(first.folder)
    elif harm == "changed":
        for name in ("model.safetensors", "SHA256SUMS"):
            shutil.copy(first.folder / "checkpoints" / "step-00000008" / name, last)
        shutil.copy(first.folder / "checkpoints" / "step-00000008" / "optimizer.safetensors", last)
    elif harm == "damaged":
        content = bytearray((last / "model.safetensors").read_bytes())
        content[-3] ^= 1
        (last / "model.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=said):
        train_run(load_run(tmp_path / "two"))
    assert not (tmp_path / "two" / "checkpoints").exists()


def test_the_command_refuses_what_does_not_fit(first, tmp_path, refused):
    out = tmp_path / "two"
    give = ["train", "demo-hmm", "--out", out, "--steps", 2, "--from"]
    refused([*give, first.folder, "--model", "bert-1x16"], "model 'bert-1x16' from the weights of 'bert-1x8', expected")
    refused([*give, f"{first.folder}:9"], "no checkpoint of step 9, expected one of [8, 16]")
    refused([*give, f"{first.folder}:x"], "the step is 'x', expected a number")
    refused([*give, tmp_path / "none"], "no run here")
    refused(["train", "demo-pcfg", "--out", out, "--from", first.folder], "expected the same language")
    refused([*give, first.folder, "--max-length", 5], "expected the same language")


@pytest.mark.parametrize(
    ("text", "folder", "step"), [("a/b", "a/b", None), ("a/b:12", "a/b", 12), ("c:/x", "c:/x", None)]
)
def test_a_step_follows_a_colon(text, folder, step, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert split_origin(text) == (type(tmp_path)(folder), step)
    (tmp_path / "d:7").mkdir()
    assert split_origin("d:7") == (type(tmp_path)("d:7"), None)
