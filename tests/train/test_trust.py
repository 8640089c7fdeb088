"""Whatever happens to a training run, going on with it ends with the bits of one that nothing happened to."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest
from support.commands import check_one_line, said_by
from support.disturbed import (
    SHORT,
    Nursery,
    command,
    end,
    go_on,
    outcome,
    run_stopped_at,
    small_disk,
    start,
    steps_of,
    wait_until,
    whole,
)

from satlab.lab.cli import main as cli
from satlab.system import disk
from satlab.system.disk import append_lines
from satlab.train import checkpoint
from satlab.train.step import Stepper

__all__ = ["small_disk", "whole"]

# ---- killed

LONG = (
    "train demo-hmm --model lstm-1x8 --batch-size 8 --lr 3e-3 --checkpoints [5,60] --evaluate-every 7 "
    "--evaluate-growth 1 --resume-every 3 --evaluation-sentences 40 --stop-at-saturation false --dropout 0.1 "
    "--adversary-task state-4 --adversary-sentences 16"
)
"""With all that has a state of its own: dropout, an optimiser, an adversary whose strength changes."""

SLOW_WRITER = """
import time
from satlab.train import checkpoint
flush = checkpoint.flush
checkpoint.flush = lambda path: (time.sleep(0.02), flush(path))
"""

MOMENTS = ("writing", "training", "any")


def kill_at(moment, folder, process, rng):
    """Kills the process that trains there; whether that was seen to be in the middle of a checkpoint."""

    def partial():
        return list((folder / "checkpoints").glob(".step-*.partial"))

    before = set((folder / "checkpoints").glob("step-*"))
    if moment == "any":
        wait_until(folder.exists, process)
        delay = rng.uniform(0, 1.5)
    elif moment == "training":
        wait_until(lambda: set((folder / "checkpoints").glob("step-*")) - before, process)
        delay = rng.uniform(0, 0.4)
    else:
        # First, what an earlier kill has left must go.
        wait_until(lambda: not partial(), process)
        wait_until(partial, process)
        delay = rng.uniform(0, 0.1)
    time.sleep(delay)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return moment != "any" and bool(partial())


def check_killed(folder, kills, steps, start, threshold):
    line = f"{LONG} --steps {steps} --threshold {threshold}"
    rng, arguments = np.random.default_rng(kills), command(line, folder / "killed")
    partial = reached = 0
    for k in range(kills):
        process = start(arguments)
        try:
            partial += kill_at(MOMENTS[k % len(MOMENTS)], folder / "killed", process, rng)
        finally:
            process.kill()
        found = checkpoint.checkpoints(folder / "killed", kept_only=False)
        assert not found or reached <= found[-1][0] < steps
        reached = found[-1][0] if found else 0
    assert partial >= kills // 4
    assert reached > 0
    assert cli.run(arguments) == 0
    assert cli.run(command(line, folder / "whole")) == 0
    assert outcome(folder / "killed") == outcome(folder / "whole")
    assert len({row["adversary_strength"] for row in outcome(folder / "whole")[1]}) > 3


@pytest.mark.slow
def test_a_training_killed_three_times_ends_with_the_same_bits(tmp_path):
    nursery = Nursery(SLOW_WRITER)
    try:
        check_killed(tmp_path, 3, 80, nursery.start, 1.2)
    finally:
        end(nursery.process)


@pytest.mark.slow
def test_a_training_killed_twenty_times_ends_with_the_same_bits(tmp_path):
    check_killed(tmp_path, 20, 600, lambda arguments: start(arguments, SLOW_WRITER), 1.2)


# ---- a full disk, and one that is read only


def fill(folder, left):
    """Takes all room but so many bytes."""
    with (folder / "filler").open("wb", buffering=0) as file:
        with suppress(OSError):
            while True:
                file.write(b"x" * 4096)
        file.truncate(max(0, file.tell() - left))


@pytest.mark.parametrize("left", [0, 8192, 16384, 24576])
def test_a_full_disk_is_one_line_and_costs_nothing_but_time(small_disk, whole, monkeypatch, capsys, left):
    folder = small_disk / "r"
    assert run_stopped_at(5, folder, monkeypatch) == 128 + signal.SIGTERM
    before = outcome(folder)
    fill(small_disk, left)
    capsys.readouterr()
    assert cli.run(command(SHORT, folder)) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("step ")]
    assert line.startswith(f"satlab: {folder}/checkpoints/step-00000008")
    assert "No space left on device" in line
    found, rows = outcome(folder)
    assert found == before[0]
    assert rows[: len(before[1])] == before[1]
    (small_disk / "filler").unlink()
    assert cli.run(command(SHORT, folder)) == 0
    assert outcome(folder) == whole


def test_a_row_that_does_not_fit_on_the_disk_is_not_there_at_all(small_disk):
    path = small_disk / "metrics.jsonl"
    fill(small_disk, 8192)
    for k in range(6):
        append_lines(path, [{"k": k, "text": "x" * 500}, {"k": k, "text": "y" * 700}])
    before = path.read_bytes()
    with pytest.raises(OSError, match="No space left") as caught:
        append_lines(path, [{"k": 6, "text": "x" * 500}, {"k": 6, "text": "y" * 700}])
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before


def test_a_row_of_metrics_that_cannot_be_written_is_one_line(whole, tmp_path, monkeypatch, capsys):
    folder, fsync = tmp_path / "r", os.fsync

    def fail(handle):
        metrics = folder / "metrics.jsonl"
        if (
            metrics.exists()
            and os.fstat(handle).st_ino == metrics.stat().st_ino
            and b'"step": 9' in metrics.read_bytes()
        ):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        assert cli.run(command(SHORT, folder)) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"satlab: {folder}/metrics.jsonl: No space left on device; ")
    assert [row["step"] for row in outcome(folder)[1]] == [3, 4, 6]
    assert go_on(folder, capsys) == []
    assert outcome(folder) == whole


def test_a_run_that_cannot_be_written_to_is_one_line(small_disk, monkeypatch, capsys):
    folder = small_disk / "r"
    assert run_stopped_at(5, folder, monkeypatch) == 128 + signal.SIGTERM
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    capsys.readouterr()
    assert cli.run(command(SHORT, folder)) == 2
    assert capsys.readouterr().err.startswith(f"satlab: {folder}: not writable; ")
    assert steps_of(folder) == [4, 5]


def test_a_finished_run_need_not_be_writable(small_disk, capsys):
    folder = small_disk / "r"
    assert cli.run(command(SHORT, folder)) == 0
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert go_on(folder, capsys) == []


# ---- what else may happen


def test_a_loss_that_is_no_number_is_one_line_and_what_was_before_is_kept(whole, tmp_path, monkeypatch, capsys):
    folder, take = tmp_path / "r", Stepper.__call__

    def spoiled(self, step, rate):
        taken = take(self, step, rate)
        return taken._replace(loss=taken.loss * float("nan")) if step == 11 else taken

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "__call__", spoiled)
        assert cli.run(command(SHORT, folder)) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("step ") for line in lines] == [True] * (len(lines) - 1) + [False]
    assert lines[-1].startswith("satlab: training diverged at step 11: the loss is nan; ")
    assert steps_of(folder) == [4, 8]
    assert go_on(folder, capsys) == []
    assert outcome(folder) == whole


def test_a_clock_that_jumps_is_no_matter(whole, tmp_path, monkeypatch, capsys):
    folder, jumps = tmp_path / "r", iter(np.random.default_rng(0).uniform(-1e9, 1e9, 100_000))
    monkeypatch.setattr("time.time", lambda: 1.7e9 + next(jumps))
    assert go_on(folder, capsys) == []
    assert outcome(folder) == whole


def test_a_second_process_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(disk, "PATIENCE", 0.3)
    assert run_stopped_at(5, tmp_path / "r", monkeypatch) == 128 + signal.SIGTERM
    code = "import sys, pathlib, time\nfrom satlab.system.disk import only_writer\n"
    code += "with only_writer(pathlib.Path(sys.argv[1])):\n"
    code += "    print('here', flush=True)\n    time.sleep(60)"
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "r")], stdout=subprocess.PIPE)
    try:
        assert other.stdout.readline() == b"here\n"
        before = outcome(tmp_path / "r")
        said = said_by(capsys, command(SHORT, tmp_path / "r"), 2)
        check_one_line(said, f"satlab: {tmp_path / 'r'}: another process is writing here")
        assert outcome(tmp_path / "r") == before
    finally:
        other.kill()
        other.communicate()
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert json.loads(capsys.readouterr().out)["step"] == 14
