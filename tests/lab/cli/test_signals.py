"""Ctrl-C, SIGTERM and SIGUSR1: a checkpoint of the step, one line, the exit status, and the same bits in the end."""

import os
import re
import signal
import threading
import time

import pytest
import yaml
from support.disturbed import SHORT, command, end, outcome, run_stopped_at, start, steps_of, wait_until, whole

from satlab.errors import StoppedError
from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run
from satlab.system import disk
from satlab.system.signals import SIGNALS, SignalError, StopRequest
from satlab.train import HeldOut, checkpoints

__all__ = ["whole"]

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1"}
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 138}
AGAIN = "run the same command again to go on"


def handlers():
    return [signal.getsignal(number) for number in NAMES]


def send(number):
    os.kill(os.getpid(), number)


# ---- one training run


@pytest.mark.parametrize("number", NAMES)
@pytest.mark.parametrize("step", [2, 4, 7, 12, 13])
def test_a_signal_leaves_a_checkpoint_of_the_step_and_one_line(whole, tmp_path, monkeypatch, capsys, number, step):
    folder, before = tmp_path / "r", handlers()
    assert run_stopped_at(step, folder, monkeypatch, number=number) == STATUS[number]
    assert handlers() == before
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("step ")]
    assert lines == [f"satlab: stopped at step {step} of 14 by {NAMES[number]}; {AGAIN}"]
    assert captured.out == ""
    assert steps_of(folder)[-1] == step
    assert cli.run(command(SHORT, folder)) == 0
    assert outcome(folder) == whole


def test_a_run_that_is_stopped_at_every_step_ends_with_the_same_bits(whole, tmp_path, monkeypatch):
    for step in range(2, 14, 2):
        assert run_stopped_at(step, tmp_path / "r", monkeypatch) == 143
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert outcome(tmp_path / "r") == whole


def test_a_signal_in_the_last_step_leaves_the_last_row_to_be_made(whole, tmp_path, monkeypatch):
    assert run_stopped_at(14, tmp_path / "r", monkeypatch) == 143
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert outcome(tmp_path / "r") == whole


def test_a_signal_does_not_wait_for_a_long_evaluation(whole, tmp_path, monkeypatch, capsys):
    """The row is then made when the run goes on."""
    folder, passes, measure = tmp_path / "r", [], HeldOut.measure

    def long(self, model, stops):
        def asked():
            passes.append(1)
            if (folder / "checkpoints" / "step-00000008").exists() and not signalled:
                signalled.append(send(signal.SIGTERM))
                passes.clear()
            return stops()

        return measure(self, model, asked)

    signalled = []
    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, "measure", long)
        assert cli.run(command(SHORT, folder)) == 143
    assert passes == []
    assert capsys.readouterr().err.splitlines()[-1].startswith("satlab: stopped at step 9 of 14 by SIGTERM")
    assert steps_of(folder)[-1] == 9
    assert cli.run(command(SHORT, folder)) == 0
    assert outcome(folder) == whole


@pytest.mark.parametrize("number", NAMES)
def test_a_signal_before_the_first_step_ends_at_once(whole, tmp_path, monkeypatch, capsys, number):
    def draw(self, part):
        send(number)
        pytest.fail("it went on")

    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, "_draw", draw)
        assert cli.run(command(SHORT, tmp_path / "r")) == STATUS[number]
    assert capsys.readouterr().err == f"satlab: stopped at once by {NAMES[number]}; {AGAIN}\n"
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    assert outcome(tmp_path / "r") == whole


def test_a_second_interruption_does_not_wait_for_a_long_evaluation(whole, tmp_path, monkeypatch, capsys):
    folder, measure = tmp_path / "r", HeldOut.measure

    def long(self, model, stops):
        if (folder / "checkpoints" / "step-00000008").exists():
            send(signal.SIGINT)
            time.sleep(0.6)
            send(signal.SIGINT)
            pytest.fail("it went on")
        return measure(self, model, stops)

    with monkeypatch.context() as patched:
        patched.setattr(HeldOut, "measure", long)
        assert cli.run(command(SHORT, folder)) == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"satlab: stopped at once by Ctrl-C; {AGAIN}"
    assert steps_of(folder) == [4, 8]
    assert cli.run(command(SHORT, folder)) == 0
    assert outcome(folder) == whole


def test_a_real_training_is_stopped_within_ten_seconds(tmp_path, monkeypatch, capsys):
    line = SHORT.replace("--steps 14", "--steps 100_000".replace("_", "")).replace("bert-1x8", "bert-2x16")
    monkeypatch.setattr(disk, "PATIENCE", 0.2)
    process = start(command(line, tmp_path / "r"))
    try:
        wait_until(lambda: len(steps_of(tmp_path / "r")) > 2, process)
        assert cli.run(command(line, tmp_path / "r")) == 2
        assert "another process is writing here" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        begin = time.monotonic()
        out, err = process.communicate(timeout=180)
        assert time.monotonic() - begin < 10
    finally:
        end(process)
    assert (process.returncode, out) == (143, "")
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    step = int(re.fullmatch(rf"satlab: stopped at step (\d+) of 100000 by SIGTERM; {AGAIN}", last)[1])
    assert checkpoints(tmp_path / "r", kept_only=False)[-1][0] == step


# ---- what a request to stop is


def stopped_in_good_order():
    with StopRequest() as stop:
        assert not stop()
        send(signal.SIGTERM)
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
        assert stop()
        raise StoppedError("stopped at 3 of 4", "do it again")


def test_the_first_signal_waits_to_be_asked_for():
    with pytest.raises(SignalError, match=r"^stopped at 3 of 4 by SIGTERM; do it again$") as caught:
        stopped_in_good_order()
    assert caught.value.status == 143


def test_a_ctrl_c_that_comes_twice_at_once_is_one():
    with StopRequest() as stop:
        stop()
        send(signal.SIGINT)
        send(signal.SIGINT)
        assert stop()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, StoppedError])
def test_handlers_are_put_back_whatever_happens(error):
    before = handlers()

    def work():
        with StopRequest():
            assert handlers() != before
            raise error("now")

    with pytest.raises(error):
        work()
    assert handlers() == before


def test_what_was_ignored_is_ignored():
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            send(signal.SIGUSR1)
            assert not stop()
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_another_thread_has_no_signals():
    before, seen = handlers(), []

    def work():
        with StopRequest() as stop:
            seen.append((stop(), handlers()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_these_are_the_signals():
    assert set(SIGNALS) == set(NAMES)


# ---- a study

STUDY = {
    "language": "demo-hmm",
    "models": {"bert-1x8": {}, "lstm-1x8": {}},
    "tasks": [],
    "train": {
        "steps": 100_000,
        "batch_size": 8,
        "checkpoints": [100_000],
        "evaluate_every": 5,
        "evaluate_growth": 1.0,
        "resume_every": 100_000,
        "evaluation_sentences": 40,
        "stop_at_saturation": False,
    },
}
"""Runs that write no checkpoint unless they are stopped."""


@pytest.mark.slow
@pytest.mark.parametrize(("number", "group", "workers"), [(signal.SIGTERM, False, 2), (signal.SIGINT, True, 3)])
def test_the_runs_of_a_study_that_is_stopped_keep_where_they_are(tmp_path, number, group, workers):
    """Ctrl-C on a terminal reaches all processes, idle ones too, and kill the first one alone."""
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    out = tmp_path / "out"
    process = start(["study", str(tmp_path / "study.yaml"), "--out", str(out), "--workers", str(workers)])
    try:
        wait_until(lambda: len(list(out.glob("runs/*/metrics.jsonl"))) == 2, process)
        assert not list(out.glob("runs/*/checkpoints"))
        os.killpg(process.pid, number) if group else process.send_signal(number)
        begin = time.monotonic()
        err = process.communicate(timeout=180)[1]
        assert time.monotonic() - begin < 15
    finally:
        end(process)
    assert process.returncode == STATUS[number]
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    runs = {run.name: load_run(run) for run in sorted(out.glob("runs/*"))}
    reached = {name: checkpoints(run.folder, kept_only=False) for name, run in runs.items()}
    assert [len(found) for found in reached.values()] == [1, 1]
    left = ", ".join(f"{name} at step {found[0][0]} of 100000" for name, found in reached.items())
    assert last == f"satlab: stopped at 0 of 6 cells by {NAMES[number]}; left to train: {left}; {AGAIN}"
    for name, run in runs.items():
        assert 0 <= reached[name][0][0] - run.metrics[-1]["step"] <= 5
