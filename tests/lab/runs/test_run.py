"""Runs on disk: found again, never mixed up, and the same bits however often they were interrupted."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from types import SimpleNamespace

import pytest
import torch
import yaml
from support.commands import check_one_line, contents, said_by
from support.words import CLOCK

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.runs.run import create_run, load_run
from satlab.lab.runs.training import train_run
from satlab.system import disk
from satlab.train import TrainConfig

CONFIG = TrainConfig(
    steps=12,
    batch_size=8,
    lr=3e-3,
    masking="one",
    checkpoints=[4],
    evaluate_every=3,
    evaluate_growth=1.0,
    resume_every=5,
    evaluation_sentences=50,
)
ROW_STEPS = [3, 4, 6, 9, 12]
MODEL = "bert-1x8"
GRAMMAR = "S -> 'a' S [0.5] | 'b' [0.5]\n"


def make(folder, source="demo-hmm", model=MODEL, max_length=None, **changes):
    return create_run(folder, source, model, TrainConfig(**(asdict(CONFIG) | changes)), max_length)


def comparable(folder):
    """All that a run leaves, without what the clock says."""
    found = contents(folder)
    rows = [json.loads(line) for line in found.pop("metrics.jsonl").splitlines()]
    found.pop(".lock", None)
    return found, [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train_run(make(folder))
    return folder


def test_a_new_run_and_what_is_loaded_of_it(tmp_path):
    made = make(tmp_path / "deep" / "r", seed=5, betas=(0.8, 0.9), checkpoints=[])
    loaded = load_run(tmp_path / "deep" / "r")
    assert sorted(contents(tmp_path / "deep" / "r")) == ["config.yaml", "language.npz"]
    for found in (made, loaded):
        assert found.config == TrainConfig(**(asdict(CONFIG) | {"seed": 5, "betas": (0.8, 0.9), "checkpoints": []}))
        assert (found.model, found.source, found.folder) == (MODEL, "demo-hmm", tmp_path / "deep" / "r")
        assert (found.metrics, found.results, found.checkpoints) == ([], [], [])
    content = yaml.safe_load((tmp_path / "deep" / "r" / "config.yaml").read_text())
    assert content["language_fingerprint"] == loaded.language.fingerprint()
    assert TrainConfig(**(content["train"] | {"betas": tuple(content["train"]["betas"])})) == made.config


@pytest.mark.parametrize("kind", ["file", "mapping", "grammar"])
def test_the_language_travels_with_the_run(tmp_path, kind):
    (tmp_path / "g.pcfg").write_text(GRAMMAR)
    (tmp_path / "l.yaml").write_text("file: g.pcfg\nmax_length: 5\n")
    mapping = {"family": "pcfg", "grammar": GRAMMAR, "max_length": 5}
    source, length = {
        "file": (str(tmp_path / "l.yaml"), None),
        "mapping": (mapping, None),
        "grammar": (str(tmp_path / "g.pcfg"), 5),
    }[kind]
    made = make(tmp_path / "r", source, max_length=length)
    (tmp_path / "g.pcfg").unlink()
    loaded = load_run(tmp_path / "r")
    assert loaded.language.max_length == made.language.max_length == 5
    assert loaded.language.fingerprint() == made.language.fingerprint()


def test_the_same_run_is_found_again_and_training_it_does_nothing(finished):
    before, times = contents(finished), {p: p.stat().st_mtime_ns for p in finished.rglob("*") if p.name != ".lock"}
    again = make(finished)
    rows = []
    train_run(again, on_row=rows.append)
    assert rows == []
    assert contents(finished) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_what_a_finished_run_holds(finished):
    done = load_run(finished)
    assert [row["step"] for row in done.metrics] == ROW_STEPS
    assert [step for step, _ in done.checkpoints] == [4, 12]
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == ["step-00000004", "step-00000012"]
    for row in done.metrics:
        assert row["kl_upper95"] == pytest.approx(row["kl"] + 1.6448536 * row["kl_stderr"])
        assert row["n"] == 50
    assert len({row["floor"] for row in done.metrics}) == 1


CHANGES = {
    "steps": 13,
    "batch_size": 9,
    "optimizer": "sgd",
    "lr": 1e-3,
    "schedule": "linear",
    "warmup": 0.5,
    "betas": (0.5, 0.6),
    "eps": 1e-7,
    "momentum": 0.5,
    "weight_decay": 0.5,
    "dropout": 0.25,
    "masking": "bernoulli:0.5",
    "targets": "exact",
    "freeze": "embedding",
    "adversary_task": "state-5",
    "adversary_strength": 0.25,
    "adversary_sentences": 100,
    "adversary_head": "unit-norm",
    "adversary_ridge": 0.5,
    "threshold": 0.5,
    "stop_at_saturation": False,
    "checkpoints": [4, 5],
    "evaluate_every": 4,
    "evaluate_growth": 1.5,
    "resume_every": 6,
    "evaluation_sentences": 51,
    "most_evaluation_sentences": 400,
    "precision": "bf16",
    "compile": True,
    "threads": 2,
    "average": 0.5,
    "micro_batch": 3,
    "seed": 1,
    "optimizer_settings": {"ns_steps": 3},
}

NEEDED = {
    "optimizer_settings": {"optimizer": "muon"},
    "momentum": {"optimizer": "sgd"},
    "adversary_task": {"stop_at_saturation": False},
    "adversary_strength": {"stop_at_saturation": False, "adversary_task": "state-4"},
}
"""What a run must have for the change to be possible."""


def test_no_setting_is_forgotten_in_the_next_test():
    # How the model is spread over the processes is no part of what a run is.
    assert set(CHANGES) == set(asdict(CONFIG)) - {"sharding"}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_setting_is_refused_by_name(finished, tmp_path, name):
    folder, needed = finished, NEEDED.get(name, {})
    if needed:
        folder = make(tmp_path / "r", **needed).folder
    before = contents(folder)
    with pytest.raises(InputError, match=rf"another run \({name}: .* there, .* given\)"):
        make(folder, **(needed | {name: CHANGES[name]}))
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model": "bert-1x16"}, "model: bert-1x8 there, bert-1x16 given"),
        ({"source": "demo-pcfg"}, "language: demo-hmm there, demo-pcfg given"),
        ({"source": {"preset": "demo-hmm", "seed": 1}}, "language: demo-hmm there"),
        ({"max_length": 5}, "length"),
    ],
)
def test_another_model_or_language_is_refused(finished, change, match):
    before = contents(finished)
    with pytest.raises(InputError, match=match):
        make(finished, **change)
    assert contents(finished) == before


def test_what_an_interrupted_creation_leaves_is_no_obstacle(tmp_path):
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "language.npz").write_bytes(b"half")
    (tmp_path / "r" / ".config.yaml.partial").write_bytes(b"half")
    assert make(tmp_path / "r").language.max_length == 8


@pytest.mark.parametrize("content", ["", "- 1", "satlab: 0.1.0", "{train: 3, language_file: language.npz}", "train: ["])
def test_a_damaged_config_is_one_line_that_names_the_file(finished, tmp_path, content, refused):
    shutil.copytree(finished, tmp_path / "r")
    (tmp_path / "r" / "config.yaml").write_text(content)
    refused("evaluate r", "config.yaml")


@pytest.mark.parametrize(
    ("file", "content", "command"),
    [
        ("results.jsonl", "{}\nno JSON\n{}\n", "evaluate"),
        ("metrics.jsonl", "no JSON\n", "plot"),
        ("checkpoints/step-00000012/model.json", "[]\n", "evaluate"),
        ("checkpoints/step-00000012/model.safetensors", "half", "evaluate"),
    ],
)
def test_a_damaged_file_is_one_line_that_names_its_place(finished, tmp_path, file, content, command, capsys):
    shutil.copytree(finished, tmp_path / "r")
    (tmp_path / "r" / file).write_text(content)
    said = said_by(capsys, [command, tmp_path / "r", *(["--sentences", 9] if command == "evaluate" else [])], 2)
    assert check_one_line(said, rows="/step-" in file).startswith(
        f"satlab: {tmp_path / 'r' / file}".rsplit("/model.", 1)[0]
    )


@pytest.mark.parametrize("state", ["[]", "{}", "half"])
def test_a_checkpoint_with_a_damaged_state_counts_as_absent(finished, tmp_path, state):
    shutil.copytree(finished, tmp_path / "r")
    (tmp_path / "r" / "checkpoints" / "step-00000012" / "state.json").write_text(state)
    assert [step for step, _ in load_run(tmp_path / "r").checkpoints] == [4]
    train_run(load_run(tmp_path / "r"))
    assert comparable(tmp_path / "r") == comparable(finished)


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_an_interrupted_run_ends_with_the_same_bits(finished, tmp_path, at, monkeypatch):
    """Interrupted when its row `at` has been recorded, before the checkpoint of that step is written."""
    seen = []

    def interrupt(row):
        seen.append(row.step)
        if len(seen) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_run(make(tmp_path / "r"), on_row=interrupt)
    assert [row["step"] for row in load_run(tmp_path / "r").metrics] == ROW_STEPS[:at]
    train_run(make(tmp_path / "r"))
    assert comparable(tmp_path / "r") == comparable(finished)


def test_rows_after_the_last_checkpoint_are_forgotten(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    shutil.rmtree(tmp_path / "r" / "checkpoints" / "step-00000012")
    with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "half a li')
    rows = []
    train_run(load_run(tmp_path / "r"), on_row=lambda row: rows.append(row.step))
    assert rows == [step for step in ROW_STEPS if step > 4]
    assert comparable(tmp_path / "r") == comparable(finished)


def test_a_second_process_is_refused_while_one_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "PATIENCE", 0.3)
    made = make(tmp_path / "r")
    with disk.only_writer(made.folder):
        with pytest.raises(InputError, match="another process is writing here"):
            train_run(made)
        assert made.metrics == []
    train_run(made)
    assert [row["step"] for row in made.metrics] == ROW_STEPS


@pytest.mark.parametrize("model", ["bert-1x8", "gpt-1x8"])
def test_every_process_has_the_same_configuration(tmp_path, model):
    """The masking that goes with the model included, where none is given."""
    config = TrainConfig(**(asdict(CONFIG) | {"masking": None}))
    first, other = (
        create_run(tmp_path / "r", "demo-hmm", model, config, world=SimpleNamespace(size=2, first=first))
        for first in (True, False)
    )
    assert first.config == other.config
    assert other.config.masking == ("next" if model == "gpt-1x8" else "one")


def test_dropout_and_several_hidden_words_survive_an_interruption(tmp_path):
    changes = {"dropout": 0.3, "masking": "bernoulli:0.5"}
    train_run(make(tmp_path / "whole", **changes))

    def interrupt(row):
        if row.step == 6:
            raise KeyboardInterrupt

    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        train_run(make(tmp_path / "r", **changes), on_row=interrupt)
    torch.manual_seed(2)
    train_run(make(tmp_path / "r", **changes))
    assert comparable(tmp_path / "r") == comparable(tmp_path / "whole")


LONG = (
    "train demo-hmm --model bert-1x16 --steps 240 --batch_size 16 --checkpoints [90,150] --evaluate_every 20 "
    "--resume_every 30 --evaluation_sentences 200 --stop_at_saturation false"
)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "r"
    assert cli.run([*shlex.split(LONG), "--out", str(folder)]) == 0
    return folder


def kill_after(rows, command, metrics):
    """Starts the command and kills it as soon as the file has so many rows."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not (metrics.exists() and metrics.read_bytes().count(b"\n") >= rows):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.parametrize("rows", [pytest.param(1, marks=pytest.mark.slow), 6])
def test_a_killed_training_ends_with_the_same_bits(undisturbed, tmp_path, rows, capsys):
    command = [*shlex.split(LONG), "--out", str(tmp_path / "r")]
    kill_after(rows, [sys.executable, "-m", "satlab", *command], tmp_path / "r" / "metrics.jsonl")
    assert load_run(tmp_path / "r").metrics[-1]["step"] < 240
    assert cli.run(command) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 240
    assert comparable(tmp_path / "r") == comparable(undisturbed)


def test_a_config_that_names_another_model_than_the_checkpoints_is_refused_in_one_line(tmp_path, capsys):
    run = f"train demo-hmm --out {tmp_path}/r --model bert-1x8 --steps 2 --batch-size 8 --evaluation-sentences 20"
    assert cli.run(run.split()) == 0
    path = tmp_path / "r" / "config.yaml"
    path.write_text(path.read_text().replace("model: bert-1x8", "model: bert-1x16"))
    capsys.readouterr()
    for line in (f"evaluate {tmp_path}/r --sentences 5", run.replace("1x8", "1x16")):
        assert cli.run(line.split()) == 2
        (said,) = capsys.readouterr().err.splitlines()
        assert "config.yaml: model is 'bert-1x16', but" in said
        assert "holds 'bert-1x8'; restore the file" in said
