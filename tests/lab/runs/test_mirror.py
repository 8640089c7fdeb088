"""The mirror at Weights & Biases, offline: nothing leaves this machine."""

import builtins
import sys
from types import SimpleNamespace

import pytest
import wandb
from support.commands import check_one_line, said_by
from support.disturbed import SHORT, command, outcome, run_stopped_at, whole

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.runs import wandb_mirror as mirror
from satlab.lab.runs.run import load_run

__all__ = ["whole"]

MIRRORED = f"{SHORT} --wandb"


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")


class Recorder:
    """In place of the library: what is begun, logged and finished, in order."""

    Error = wandb.Error
    Settings = wandb.Settings

    def __init__(self):
        self.calls = []

    def init(self, **named):
        self.calls.append(("init", named["id"], named["name"], named["resume"]))
        return self

    def log(self, row, step):
        self.calls.append(("log", step, row["step"]))

    def finish(self, exit_code):
        self.calls.append(("finish", exit_code))


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(mirror, "load_wandb", lambda: recorder)
    monkeypatch.setattr("satlab.lab.runs.wandb_mirror.load_wandb", lambda: recorder)
    return recorder


def test_stopping_and_going_on_is_one_run(recorder, tmp_path, monkeypatch, whole):
    folder = tmp_path / "r"
    assert run_stopped_at(7, folder, monkeypatch, MIRRORED) == 143
    assert cli.run(command(MIRRORED, folder)) == 0
    first, second = [call for call in recorder.calls if call[0] == "init"]
    assert first == second == ("init", mirror.run_id(load_run(folder)), "r", "allow")
    assert [call for call in recorder.calls if call[0] == "finish"] == [("finish", 0), ("finish", 0)]
    steps = [call[1] for call in recorder.calls if call[0] == "log"]
    assert steps == [row["step"] for row in load_run(folder).metrics]
    assert outcome(folder) == whole


def test_other_settings_and_other_names_are_other_runs(tmp_path):
    for name, line in (("a", SHORT), ("b", SHORT), ("c", f"{SHORT} --seed 1")):
        assert cli.run(command(line.replace("--steps 14", "--steps 1"), tmp_path / name)) == 0
    (tmp_path / "c").rename(tmp_path / "d")
    (tmp_path / "a").rename(tmp_path / "c")
    ids = [mirror.run_id(load_run(tmp_path / name)) for name in ("b", "c", "d")]
    assert len(set(ids)) == 3
    assert all(len(one) == mirror.ID_LENGTH for one in ids)


def test_a_run_that_fails_is_marked(recorder, tmp_path, monkeypatch, capsys):
    def diverge(*_):
        raise InputError("no more")

    monkeypatch.setattr("satlab.lab.runs.training.train_run", diverge)
    assert cli.run(command(MIRRORED, tmp_path / "r")) == 2
    assert recorder.calls[-1] == ("finish", 1)
    assert capsys.readouterr().err == "satlab: no more\n"


def test_the_library_itself_keeps_the_run(tmp_path, whole, capsys):
    folder = tmp_path / "r"
    for _ in range(2):
        assert cli.run(command(MIRRORED, folder)) == 0
    files = sorted(path.name for path in folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert files == [f"run-{mirror.run_id(load_run(folder))}.wandb"] * 2
    assert "wandb" not in capsys.readouterr().err
    assert {name: text for name, text in outcome(folder)[0].items() if not name.startswith("wandb/")} == whole[0]


def refused(folder, capsys, *fragments):
    """The command ends in one line with these words; whether anything is written."""
    check_one_line(said_by(capsys, command(MIRRORED, folder), 2), "satlab: --wandb: ", *fragments)
    return folder.exists()


def test_without_the_library_nothing_is_written(tmp_path, monkeypatch, capsys):
    load = builtins.__import__

    def missing(name, *rest, **named):
        if name == "wandb":
            raise ImportError("No module named 'wandb'")
        return load(name, *rest, **named)

    monkeypatch.delitem(sys.modules, "wandb")
    monkeypatch.setattr(builtins, "__import__", missing)
    assert not refused(tmp_path / "r", capsys, "No module named 'wandb'", "pip install wandb")


def test_a_setting_that_wandb_does_not_know_writes_nothing(tmp_path, monkeypatch, capsys):
    wandb.teardown()
    monkeypatch.setenv("WANDB_MODE", "ofline")
    assert not refused(tmp_path / "r", capsys, "wandb cannot start", "WANDB_MODE=offline")
    wandb.teardown()


@pytest.mark.parametrize("error", [wandb.Error("no route"), ValueError("no route"), OSError("no route")])
def test_a_mirror_that_cannot_begin_is_one_line_and_the_run_can_go_on(tmp_path, monkeypatch, capsys, error, whole):
    def fail(**_):
        raise error

    library = SimpleNamespace(Settings=wandb.Settings, Error=wandb.Error, init=fail)
    with monkeypatch.context() as patched:
        patched.setattr("satlab.lab.runs.wandb_mirror.load_wandb", lambda: library)
        assert refused(tmp_path / "r", capsys, "no route", "leave --wandb out")
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert outcome(tmp_path / "r") == whole
