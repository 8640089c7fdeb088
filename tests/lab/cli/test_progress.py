"""What is seen of a training run: a bar on a terminal, a line a row elsewhere, and messages that leave both whole."""

import fcntl
import os
import re
import select
import struct
import sys
import termios

import pytest
from support.disturbed import SHORT, command, run_stopped_at
from support.hints import without_hint
from support.terminal import Terminal

from satlab.lab.cli import main as cli
from satlab.lab.cli.progress import TrainingProgress, progress_bar
from satlab.lab.messages import listen
from satlab.lab.runs.run import load_run
from satlab.train import MetricsRow
from satlab.train.step import Stepper


def test_the_bar_shows_step_time_left_kl_floor_and_speed(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    states = re.split(r"[\r\n]+", sys.stderr.getvalue())
    shown = [state for state in states if state.startswith("14/14 ")][-1]
    number, rows = r"\d+\.\d{4}", load_run(tmp_path / "r").metrics
    pattern = rf"14/14 \|.*\| 00:00 left, KL ({number})\+-{number}, floor ({number}), \S+ tok/s\s*"
    kl, floor = re.fullmatch(pattern, shown).groups()
    assert (kl, floor) == (f"{rows[-1]['kl']:.4f}", f"{rows[-1]['floor']:.4f}")
    assert not any(state.startswith("step ") for state in states)


def test_elsewhere_a_row_is_a_line_with_the_same(tmp_path, capsys):
    assert cli.run(command(SHORT, tmp_path / "r")) == 0
    lines = without_hint(capsys.readouterr().err).splitlines()[:-1]
    rows = load_run(tmp_path / "r").metrics
    assert len(lines) == len(rows) == 6
    for line, row in zip(lines, rows, strict=True):
        begin = (
            f"step {row['step']}: KL {row['kl']:.5f} +- {row['kl_stderr']:.5f} nats, floor {row['floor']:.5f} nats, "
        )
        assert line.startswith(f"{begin}{row['tokens_per_second']:,.0f} tokens/s, at most ")
        assert re.fullmatch(r"\d\d:\d\d left", line.partition("at most ")[2])
    assert lines[-1].endswith("00:00 left")


ROW = dict.fromkeys(MetricsRow.__dataclass_fields__, 0) | {"kl": 0.84123, "kl_stderr": 0.0102, "floor": 4.02971}


@pytest.mark.parametrize("steps", [14, 16_000, 4_000_000])
@pytest.mark.parametrize(("rate", "said"), [(66_312.0, ", 66.3k tok/s"), (None, "")])
def test_the_bar_fits_into_80_columns(monkeypatch, steps, rate, said):
    other, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with progress_bar(steps, "steps") as bar:
            progress = TrainingProgress(bar, steps)
            progress.on_step(1, 0.0)
            progress.on_row(MetricsRow(**(ROW | {"step": 1, "tokens_per_second": rate})))
            bar.refresh()
            shown = b""
            while select.select([other], [], [], 0.5)[0]:
                shown += os.read(other, 10_000)
            shown = shown.decode().split("\r")[-1]
        monkeypatch.undo()
    os.close(other)
    assert shown.startswith(f"1/{steps} |")
    assert shown.rstrip().endswith(f"KL 0.8412+-0.0102, floor 4.0297{said}")
    assert len(shown) <= 80


def test_a_row_without_a_speed_is_a_line_without_one(capsys):
    listen()
    with progress_bar(10, "steps") as bar:
        TrainingProgress(bar, 10).on_row(MetricsRow(**(ROW | {"step": 1, "tokens_per_second": None})))
    line = "step 1: KL 0.84123 +- 0.01020 nats, floor 4.02971 nats, at most ? left"
    assert capsys.readouterr().err.splitlines() == [line]


def spoil(take):
    def call(self, *how):
        taken = take(self, *how)
        return taken._replace(loss=taken.loss * float("nan"))

    return call


@pytest.mark.parametrize("how", ["diverged", "stopped", "damaged"])
def test_messages_leave_the_bar_whole(tmp_path, monkeypatch, how):
    folder, terminal = tmp_path / "r", Terminal()
    assert run_stopped_at(9, folder, monkeypatch) == 143
    monkeypatch.setattr(sys, "stderr", terminal)
    if how == "diverged":
        monkeypatch.setattr(Stepper, "__call__", spoil(Stepper.__call__))
        assert cli.run(command(SHORT, folder)) == 1
        message = "satlab: training diverged at step 10"
    elif how == "stopped":
        assert run_stopped_at(11, folder, monkeypatch) == 143
        message = "satlab: stopped at step 11 of 14 by SIGTERM"
    else:
        (folder / "checkpoints" / "step-00000009" / "model.json").write_text("{}")
        assert cli.run(command(SHORT, folder)) == 0
        message = f"satlab: warning: {folder}/checkpoints/step-00000009/model.json: damaged"
    before, _, after = terminal.getvalue().partition(message)
    # On a line of its own: a new one, or one whose bar was wiped first.
    line = before.rsplit("\n", 1)[-1]
    assert line == "" or re.fullmatch(r"\s*", line.split("\r")[-2])
    assert line == "" or line.endswith("\r")
    assert message not in after
    assert "\r" not in after.partition("\n")[0]
    if how != "damaged":
        assert after.count("\n") == 1
        assert after.endswith("\n")


@pytest.mark.parametrize(("rows", "columns"), [(24, 80), (0, 0), (0, 80), (24, 0)])
def test_a_terminal_without_a_size_gets_lines(monkeypatch, rows, columns):
    other, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    with os.fdopen(terminal, "w") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        with progress_bar(3, "steps") as bar:
            assert bar.disable == (0 in (rows, columns))
            bar.update()
        monkeypatch.undo()
    os.close(other)
