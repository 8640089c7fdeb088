"""Checkpoints: what is damaged is noticed and named, and writing one leaves it whole or nothing."""

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import warnings

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from support.commands import check_one_line, said_by
from support.disturbed import SHORT, command, go_on, outcome, run_stopped_at, steps_of, whole
from support.networks import demo_hmm, same_weights
from support.training import folders, parts, short

from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run
from satlab.models import build, build_model, load_model
from satlab.train import checkpoint, checkpoints

__all__ = ["whole"]

FILES = ["model.safetensors", "optimizer.safetensors", "state.json", "model.json", "SHA256SUMS"]


def flip(content):
    """One bit in the middle is another one; of JSON, in a digit, so that it can still be read."""
    at = len(content) // 2
    digits = [i for i in range(at, len(content)) if content[i : i + 1].isdigit()]
    at = digits[0] if content.startswith(b"{") else at
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbled": lambda content: np.random.default_rng(0).bytes(len(content)),
    "flipped": flip,
    "missing": None,
}


def damage(file, how):
    if DAMAGES[how] is None:
        file.unlink()
    else:
        file.write_bytes(DAMAGES[how](file.read_bytes()))


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped in step 13: its checkpoints are 4, 12 and 13."""
    folder = tmp_path_factory.mktemp("stopped") / "r"
    with pytest.MonkeyPatch.context() as monkeypatch:
        assert run_stopped_at(13, folder, monkeypatch) == 128 + signal.SIGTERM
    assert steps_of(folder) == [4, 12, 13]
    return folder


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_training_goes_on_from_the_checkpoint_before_a_damaged_one(stopped, whole, tmp_path, capsys, file, how):
    folder = tmp_path / "r"
    shutil.copytree(stopped, folder)
    damage(folder / "checkpoints" / "step-00000013" / file, how)
    (line,) = go_on(folder, capsys)
    assert line.startswith(f"satlab: warning: {folder}/checkpoints/step-00000013/")
    if file != "SHA256SUMS":
        assert line.removeprefix(f"satlab: warning: {folder}/checkpoints/step-00000013/").startswith(f"{file}: ")
    assert line.endswith("; training goes on from step 12")
    assert outcome(folder) == whole


@pytest.mark.parametrize(("damaged", "last"), [([12, 13], 4), ([4, 12, 13], 0), ([12], 13), ([4, 13], 12)])
def test_as_many_checkpoints_are_passed_over_as_are_damaged(stopped, whole, tmp_path, capsys, damaged, last):
    folder = tmp_path / "r"
    shutil.copytree(stopped, folder)
    for step in damaged:
        damage(folder / "checkpoints" / f"step-{step:08d}" / "model.safetensors", "flipped")
    lines = go_on(folder, capsys)
    passed = [step for step in damaged if step > last]
    for step, line in zip(passed, lines, strict=True):
        assert f"step-{step:08d}/model.safetensors: damaged, " in line
    again = f"training goes on from step {last}" if last else "training begins again at step 0"
    assert all(line.endswith(again) for line in lines)
    if 4 in damaged and last > 4:
        # Nothing needs it to go on; whoever measures it is told.
        capsys.readouterr()
        assert cli.run(["evaluate", str(folder), "--step", "4", "--sentences", "9"]) == 2
        assert "step-00000004: damaged checkpoint (model.safetensors: damaged" in capsys.readouterr().err
    else:
        assert outcome(folder) == whole


def test_a_finished_run_whose_model_is_damaged_is_not_measured_but_trained_again(whole, tmp_path, capsys):
    folder = tmp_path / "r"
    assert cli.run(command(SHORT, folder)) == 0
    damage(folder / "checkpoints" / "step-00000014" / "model.safetensors", "flipped")
    where = f"satlab: {folder}/checkpoints/step-00000014: damaged checkpoint (model.safetensors: "
    check_one_line(said_by(capsys, ["evaluate", folder, "--sentences", 9], 2), where, rows=1)
    assert [line.endswith("training goes on from step 4") for line in go_on(folder, capsys)] == [True]
    assert outcome(folder)[0].keys() - {"results.jsonl"} == whole[0].keys()
    assert go_on(folder, capsys) == []


def test_half_a_line_at_the_end_of_the_metrics_is_no_matter(stopped, whole, tmp_path, capsys):
    folder = tmp_path / "r"
    shutil.copytree(stopped, folder)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 14, "loss": 0.')
    assert go_on(folder, capsys) == []
    assert outcome(folder) == whole


def test_a_missing_file_of_digests_beside_damage_does_not_matter_twice(stopped, whole, tmp_path, capsys):
    folder = tmp_path / "r"
    shutil.copytree(stopped, folder)
    damage(folder / "checkpoints" / "step-00000013" / "SHA256SUMS", "missing")
    damage(folder / "checkpoints" / "step-00000013" / "optimizer.safetensors", "half")
    (line,) = go_on(folder, capsys)
    assert line.endswith("step-00000013/SHA256SUMS: missing; training goes on from step 12")
    assert outcome(folder) == whole


# ---- metrics that are gone


def test_an_unfinished_run_goes_on_without_its_metrics_and_says_so(stopped, whole, tmp_path, capsys):
    folder = tmp_path / "r"
    shutil.copytree(stopped, folder)
    (folder / "metrics.jsonl").unlink()
    warning = f"satlab: warning: {folder}/metrics.jsonl: missing, its rows up to step 13 are gone"
    assert go_on(folder, capsys) == [warning]
    files, rows = outcome(folder)
    assert (files, rows) == (whole[0], [row for row in whole[1] if row["step"] > 13])
    assert go_on(folder, capsys) == []


def test_a_run_that_was_stopped_before_its_first_row_has_lost_none(tmp_path, monkeypatch, capsys):
    assert run_stopped_at(2, tmp_path / "r", monkeypatch) == 128 + signal.SIGTERM
    assert not (tmp_path / "r" / "metrics.jsonl").exists()
    assert go_on(tmp_path / "r", capsys) == []


@pytest.mark.parametrize("left", [None, b"", 100], ids=["missing", "empty", "cut"])
def test_a_finished_run_without_its_last_row_is_one_line(whole, tmp_path, capsys, left):
    folder = tmp_path / "r"
    assert cli.run(command(SHORT, folder)) == 0
    file = folder / "metrics.jsonl"
    if left is None:
        file.unlink()
    else:
        file.write_bytes(left if isinstance(left, bytes) else file.read_bytes()[:-left])
    said = said_by(capsys, command(SHORT, folder), 2)
    assert check_one_line(said).startswith(f"satlab: {file}: the row of step 14 is missing")


# ---- one checkpoint


def test_figures_and_tables_need_no_weights_and_others_may_read_them(tmp_path, monkeypatch):
    folder = tmp_path / "r"
    assert cli.run(command(SHORT, folder)) == 0
    last = folder / "checkpoints" / "step-00000014"
    assert len({path.stat().st_mode for path in last.iterdir()}) == 1
    monkeypatch.setattr("satlab.system.sums.sha256", lambda path: pytest.fail(f"{path} is read"))
    assert load_run(folder).model == "bert-1x8"


def model_and_optimizer():
    """A model after one step of AdamW, so that there are moments."""
    config = short()
    model, stream, _ = parts("bert-1x16", config)
    optimizer = config.optimizer_entry.build(model)
    model(stream.batch(1).inputs).square().mean().backward()
    optimizer.step()
    return model, optimizer


def state(step, keep=False, finished=False):
    return {"step": step, "keep": keep, "finished": finished, "x": 0.1 + 0.2}


@pytest.fixture
def saved(tmp_path):
    model, optimizer = model_and_optimizer()
    checkpoint.save(tmp_path, model, optimizer, state(7))
    return checkpoint.folder_of(tmp_path, 7)


@pytest.mark.parametrize("finished", [True, False])
def test_only_a_run_that_goes_on_must_be_writable(tmp_path, monkeypatch, finished):
    model, optimizer = model_and_optimizer()
    checkpoint.save(tmp_path, model, optimizer, state(7, finished=finished))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with contextlib.nullcontext() if finished else pytest.raises(OSError, match="not writable"):
        assert checkpoint.restore(tmp_path, model, optimizer) == state(7, finished=True)


def test_what_is_restored_is_what_was_saved(tmp_path):
    model, optimizer = model_and_optimizer()
    checkpoint.save(tmp_path, model, optimizer, state(7))
    other = build_model("bert-1x16", demo_hmm(), 1)
    fresh = short().optimizer_entry.build(other)
    assert checkpoint.restore(tmp_path, other, fresh) == state(7)
    assert same_weights(other.state_dict(), model.state_dict())
    moments = [o.state_dict()["state"] for o in (optimizer, fresh)]
    assert moments[0].keys() == moments[1].keys() != set()
    for index, entry in moments[0].items():
        assert all(torch.equal(value, moments[1][index][name]) for name, value in entry.items())


def test_the_digests_are_as_the_tool_of_that_name_reads_them(saved):
    checked = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=saved, check=True, capture_output=True)
    assert checked.stdout.decode().splitlines() == [f"{name}: OK" for name in sorted(FILES) if name != "SHA256SUMS"]


def test_every_bit_counts(saved):
    """300 flipped bits, anywhere in any file."""
    rng = np.random.default_rng(0)
    assert checkpoint.damage(saved) is None
    for _ in range(300):
        file = saved / FILES[rng.integers(len(FILES))]
        content = file.read_bytes()
        at, bit = int(rng.integers(len(content))), 1 << int(rng.integers(8))
        file.write_bytes(content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        found = checkpoint.damage(saved)
        assert found is not None, (file.name, at, bit)
        if file.name in ("model.safetensors", "model.json"):
            assert found.startswith(f"{file.name}: damaged")
            with pytest.raises(ValueError, match=f"damaged checkpoint .{file.name}: damaged"):
                load_model(saved)
        file.write_bytes(content)
    assert checkpoint.damage(saved) is None


def test_a_checkpoint_without_digests_is_not_gone_on_from_but_measured(saved):
    (saved / "SHA256SUMS").unlink()
    assert checkpoint.damage(saved) == "SHA256SUMS: missing"
    assert same_weights(load_model(saved).state_dict(), model_and_optimizer()[0].state_dict())
    model, optimizer = model_and_optimizer()
    with pytest.warns(UserWarning, match="SHA256SUMS: missing; training begins again at step 0"):
        assert checkpoint.restore(saved.parent.parent, model, optimizer) is None


def test_a_checkpoint_under_another_steps_name_is_none(saved):
    saved.rename(saved.with_name("step-00000009"))
    assert checkpoints(saved.parent.parent, kept_only=False) == []


def test_a_checkpoint_that_may_not_be_read_is_not_taken_for_damaged(saved, monkeypatch):
    def refuse(self, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    model, optimizer = model_and_optimizer()
    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.read_text", refuse)
        with pytest.raises(PermissionError, match="state"):
            checkpoint.restore(saved.parent.parent, model, optimizer)
    assert checkpoint.damage(saved) is None


def test_which_checkpoints_stay(tmp_path):
    """The kept ones, the two newest ones, and once the run is finished the kept ones alone."""
    model, optimizer = model_and_optimizer()
    seen = []
    for step, keep in ((1, False), (2, True), (3, False), (4, False), (5, False), (6, True), (7, False)):
        checkpoint.save(tmp_path, model, optimizer, state(step, keep))
        seen.append(steps_of(tmp_path))
    assert seen == [[1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [2, 5, 6], [2, 6, 7]]
    checkpoint.save(tmp_path, model, optimizer, state(8, True, True))
    assert steps_of(tmp_path) == [2, 6, 8]


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("how", ["error", "safetensors", "flush"])
def test_writing_that_fails_names_the_file_and_leaves_nothing(tmp_path, monkeypatch, file, how):
    if (file, how) == ("state.json", "safetensors"):
        pytest.skip("it is none")
    model, optimizer = model_and_optimizer()
    checkpoint.save(tmp_path, model, optimizer, state(3))
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fail(error):
        def call(*arguments, **options):
            raise error

        return call

    def flush(path):
        if path.name == file:
            raise full

    with monkeypatch.context() as patched:
        if how == "flush":
            patched.setattr(checkpoint, "flush", flush)
        else:
            function = {
                "model.safetensors": "satlab.models.build.save_model",
                "optimizer.safetensors": "safetensors.torch.save_file",
                "state.json": "satlab.train.checkpoint.write_sums",
            }[file]
            written = SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")
            if file == "optimizer.safetensors":
                patched.setattr(build, "save_model", lambda *_: None)
            patched.setattr(function, fail(full if how == "error" else written))
        with pytest.raises(OSError, match="No space left on device") as caught:
            checkpoint.save(tmp_path, model, optimizer, state(5))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / "checkpoints" / "step-00000005" / file)
    assert folders(tmp_path) == ["step-00000003"]
    assert checkpoint.damage(tmp_path / "checkpoints" / "step-00000003") is None


def test_no_warning_where_nothing_is_damaged(saved):
    model, optimizer = model_and_optimizer()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoint.restore(saved.parent.parent, model, optimizer) == state(7)
        assert checkpoint.restore(saved.parent.parent / "none", model, optimizer) is None
