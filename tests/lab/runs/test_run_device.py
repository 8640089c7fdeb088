"""On which kind of device a run was begun; and runs on disk that an older satlab began."""

import pytest
import torch
import yaml
from support.commands import contents
from support.disturbed import SHORT, command, outcome, run_stopped_at, steps_of, whole

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run
from satlab.lab.runs.training import train_run
from satlab.train.parallel.world import World, without_tf32

__all__ = ["whole"]


def content(folder):
    return yaml.safe_load((folder / "config.yaml").read_text())


def rewrite(folder, change):
    found = content(folder)
    change(found)
    (folder / "config.yaml").write_text(yaml.safe_dump(found, sort_keys=False))


def stopped(folder, monkeypatch, step=7):
    assert run_stopped_at(step, folder, monkeypatch) == 143
    return folder


def test_a_run_says_on_what_it_is_trained(tmp_path, monkeypatch):
    found = content(stopped(tmp_path / "r", monkeypatch))
    assert (found["device"], found["torch"]) == ("cpu", str(torch.__version__))


def test_a_run_does_not_go_on_on_another_kind_of_device(tmp_path, monkeypatch, capsys):
    folder = stopped(tmp_path / "r", monkeypatch)
    rewrite(folder, lambda found: found.update(device="cuda"))
    before = contents(folder)
    capsys.readouterr()
    assert cli.run(command(SHORT, folder)) == 2
    error = capsys.readouterr().err
    assert error == (
        f"satlab: {folder} was begun on cuda and cannot continue on cpu, where the same seed draws other numbers; "
        "give --device cuda, or train again with another --out\n"
    )
    assert contents(folder) == before


def test_the_number_of_a_gpu_is_no_matter(tmp_path, monkeypatch):
    folder = stopped(tmp_path / "r", monkeypatch)
    with pytest.raises(InputError, match="was begun on cpu and cannot continue on cuda,"):
        train_run(load_run(folder), "cuda:1")


def test_a_run_that_is_finished_is_so_on_any_device(tmp_path, capsys):
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    rewrite(tmp_path / "r", lambda found: found.update(device="cuda"))
    before = contents(tmp_path / "r")
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert contents(tmp_path / "r") == before


def test_a_run_without_a_checkpoint_begins_again_on_another(whole, tmp_path):
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    for path in sorted((tmp_path / "r/checkpoints").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    rewrite(tmp_path / "r", lambda found: found.update(device="cuda"))
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert outcome(tmp_path / "r") == whole


def test_a_run_of_which_that_is_not_known_goes_on(whole, tmp_path, monkeypatch):
    """As an older satlab began it."""
    folder = stopped(tmp_path / "r", monkeypatch)

    def older(found):
        del found["device"], found["torch"]

    rewrite(folder, older)
    assert cli.run(command(SHORT, folder)) == 0
    assert steps_of(folder) == [4, 14]
    assert "device" not in content(folder)
    rewrite(
        folder,
        lambda found: found.update({key: yaml.safe_load(whole[0]["config.yaml"])[key] for key in ("device", "torch")}),
    )
    assert outcome(folder) == whole


def test_a_run_whose_held_out_sentences_may_become_fewer_is_as_if_they_stayed(tmp_path, monkeypatch):
    """That was allowed, and meant the same."""
    line = f"{SHORT} --most-evaluation-sentences 40"
    assert run_stopped_at(7, tmp_path / "r", monkeypatch, line) == 143
    rewrite(tmp_path / "r", lambda found: found["train"].update(most_evaluation_sentences=2))
    assert load_run(tmp_path / "r").config.most_evaluation_sentences == 40
    assert cli.run(command(line, tmp_path / "r")) == 0
    assert steps_of(tmp_path / "r") == [4, 14]


@pytest.mark.parametrize("before", [True, False])
def test_a_gpu_multiplies_float32_as_such(monkeypatch, before):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", before)
    without_tf32("cpu")
    assert torch.backends.cudnn.allow_tf32 == before
    without_tf32("cuda:3")
    assert not torch.backends.cudnn.allow_tf32


def test_whoever_is_given_a_gpu_has_it_so(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert World().device("cuda") == "cuda"
    assert not torch.backends.cudnn.allow_tf32
