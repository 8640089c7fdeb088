"""A run that was interrupted and goes on ends with the same bits as one that never stopped; also after a real kill."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
import torch
from support import TESTS
from support.networks import same_weights
from support.training import (
    InterruptionError,
    check_same,
    comparable,
    folders,
    interrupted,
    known,
    running,
    session,
    short,
    tensors_of,
    trainer,
)

from satlab.errors import DivergedError, StoppedError
from satlab.models import build
from satlab.system.disk import read_lines
from satlab.train import checkpoint, checkpoints
from satlab.train import losses as objective

CASES = [("bert-2x16", 0.2), ("bert-post-2x16", 0.2), ("lstm-2x8", 0.3)]
CASES += [
    pytest.param(*case, marks=pytest.mark.slow) for case in (("bert-1x16", 0), ("lstm-1x16", 0.2), ("lstm-2x8", 0))
]


@pytest.mark.parametrize(("name", "dropout"), CASES)
def test_sessions_that_end_between_rows_change_no_bit(name, dropout, tmp_path):
    config = short(dropout=dropout)
    whole = session(tmp_path / "whole", name, config)
    rng, rows, sessions = np.random.default_rng(len(name)), [], 0
    while not rows or rows[-1]["step"] < 24:
        rows = session(tmp_path / "parts", name, config, rows, take=int(rng.integers(2, 6)))
        sessions += 1
    rows = session(tmp_path / "parts", name, config, rows)
    assert sessions >= 3
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)


@pytest.mark.parametrize(("name", "dropout"), CASES)
def test_sessions_that_end_in_a_step_change_no_bit(name, dropout, tmp_path):
    config = short(dropout=dropout)
    whole, rows = session(tmp_path / "whole", name, config), []
    for step in (2, 5, 7, 11, 12, 16, 21, 24):
        rows = interrupted(tmp_path / "parts", name, config, rows, step)
    rows = session(tmp_path / "parts", name, config, rows)
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)


@pytest.mark.parametrize("masking", ["one", "bernoulli:0.4"])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedule_and_masking_go_on_where_they_were(schedule, masking, tmp_path):
    config = short(schedule=schedule, masking=masking, weight_decay=0.2)
    whole = session(tmp_path / "whole", "lstm-1x16", config)
    rows = interrupted(tmp_path / "parts", "lstm-1x16", config, [], 14)
    rows = session(tmp_path / "parts", "lstm-1x16", config, rows)
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)


def stop_after(monkeypatch, operations):
    """Lets this many file operations of writing checkpoints happen; the next one is the interruption."""
    left = [operations]

    def limited(original):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise InterruptionError
            return original(*arguments, **options)

        return call

    monkeypatch.setattr(os, "replace", limited(os.replace))
    monkeypatch.setattr(shutil, "rmtree", limited(shutil.rmtree))
    monkeypatch.setattr(checkpoint, "flush", limited(checkpoint.flush))
    monkeypatch.setattr(build, "save_model", limited(build.save_model))


def stopped_at_every_file_operation(folder, name, config, monkeypatch):
    """(run, rows) of runs that were interrupted at the first, second, ... file operation, then resumed to the end."""
    operations, stopped = 0, True
    while stopped:
        run = folder / str(operations)
        with monkeypatch.context() as patched:
            stop_after(patched, operations)
            try:
                session(run, name, config)
                stopped = False
            except InterruptionError:
                operations += 1
        yield run, session(run, name, config)


@pytest.mark.parametrize("name", ["bert-1x16", pytest.param("lstm-2x8", marks=pytest.mark.slow)])
def test_interruptions_while_a_checkpoint_is_written_change_no_bit(name, tmp_path, monkeypatch):
    """Whichever file operation is the last one that happens, the next session finds a whole checkpoint or none.

    Nothing half written is left behind.
    """
    config = short(steps=11, checkpoints=[], resume_every=4)
    whole = comparable(session(tmp_path / "whole", name, config))
    expected = tensors_of(tmp_path / "whole" / "checkpoints" / "step-00000011")
    runs = 0
    for run, rows in stopped_at_every_file_operation(tmp_path / "parts", name, config, monkeypatch):
        assert comparable(rows) == whole[len(whole) - len(rows) :]
        assert [step for step, _ in checkpoints(run)] == [11]
        assert folders(run) == ["step-00000011"]
        assert same_weights(tensors_of(run / "checkpoints" / "step-00000011"), expected)
        runs += 1
    assert runs >= 3 * 8


def test_an_old_checkpoint_that_was_half_removed_does_not_stay(tmp_path, monkeypatch):
    config, run = short(), tmp_path / "parts"
    whole = session(tmp_path / "whole", "bert-1x16", config)

    def half(path, **options):
        for file in sorted(path.iterdir(), reverse=True)[:2]:
            file.unlink()
        raise InterruptionError

    rows = session(run, "bert-1x16", config, take=2)[:1]
    assert folders(run) == ["step-00000005"]
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint.shutil, "rmtree", lambda path, **o: half(path) if path.exists() else None)
        with pytest.raises(InterruptionError):
            rows.extend(row.as_json() for row in running(run, "bert-1x16", config))
    assert [step for step, _ in checkpoints(run, kept_only=False)] == [8, 10]
    check_same(tmp_path / "whole", whole, run, session(run, "bert-1x16", config, rows))


def test_leftovers_of_a_half_written_checkpoint_are_removed(tmp_path):
    config = short()
    rows = session(tmp_path, "bert-1x16", config, take=5)
    for name in (".step-00000010.partial", ".step-00000024.partial"):
        (tmp_path / "checkpoints" / name).mkdir()
        (tmp_path / "checkpoints" / name / "model.safetensors").write_bytes(b"half")
    session(tmp_path, "bert-1x16", config, rows, take=1)
    assert not [name for name in folders(tmp_path) if name.startswith(".")]


def test_only_the_newest_rolling_checkpoints_stay(tmp_path):
    config, seen = short(), {}
    for row in running(tmp_path, "bert-1x16", config):
        if (tmp_path / "checkpoints").exists():
            seen[row.step] = [int(name[5:]) for name in folders(tmp_path)]
    # At a row its own checkpoint is not written yet: step 5's appears at 6; it is one of the newest two up to step 10.
    assert seen[6] == [5]
    assert seen[9] == [5, 8]
    assert seen[12] == [8, 10]
    assert seen[18] == [8, 15, 16]
    assert seen[21] == [8, 16, 20]
    assert folders(tmp_path) == ["step-00000008", "step-00000016", "step-00000024"]


def test_rolling_checkpoints_are_not_among_the_kept(tmp_path):
    session(tmp_path, "bert-1x16", short(), take=5)
    assert [step for step, _ in checkpoints(tmp_path)] == [8]
    assert [step for step, _ in checkpoints(tmp_path, kept_only=False)] == [8, 10]


def test_a_finished_run_yields_nothing_and_changes_nothing(tmp_path):
    config = short()
    rows = session(tmp_path, "bert-1x16", config)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "checkpoints").rglob("*")}
    called = []
    again = trainer("bert-1x16", config, tmp_path, on_step=lambda *step: called.append(step))
    assert list(again.rows()) == []
    assert called == []
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "checkpoints").rglob("*")} == before
    last = tensors_of(tmp_path / "checkpoints" / "step-00000024")
    weights = {f"model {k}": v for k, v in again.model.state_dict().items()}
    assert same_weights(weights, {k: v for k, v in last.items() if k.startswith("model")})
    assert session(tmp_path, "bert-1x16", config, rows) == rows


@pytest.mark.parametrize("file", ["model.safetensors", "optimizer.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"noise" * 100])
def test_a_damaged_last_checkpoint_is_named_and_the_one_before_serves(file, content, tmp_path):
    config = short()
    whole = session(tmp_path / "whole", "bert-1x16", config)
    run = tmp_path / "parts"
    rows = interrupted(run, "bert-1x16", config, [], 13)
    damaged = run / "checkpoints" / "step-00000010" / file
    damaged.unlink() if content is None else damaged.write_bytes(content)
    with pytest.warns(UserWarning, match=rf"step-00000010/{file}: .*; training goes on from step 8"):
        rows = session(run, "bert-1x16", config, rows)
    check_same(tmp_path / "whole", whole, run, rows)


@pytest.mark.parametrize("content", [None, b"", b'{"step": 1', b"\xff\xfe\x80", b"[]", b'{"step": 10}'])
def test_a_checkpoint_whose_state_is_damaged_counts_as_none(content, tmp_path):
    config = short()
    session(tmp_path, "bert-1x16", config, take=5)
    state = tmp_path / "checkpoints" / "step-00000010" / "state.json"
    state.unlink() if content is None else state.write_bytes(content)
    assert [step for step, _ in checkpoints(tmp_path, kept_only=False)] == [8]


# ---- a polite stop

JUMPY = {"lr": 0.1, "batch_size": 2, "threshold": 1.54}
"""Saturated and not by turns, so that the strength goes up and down."""

WAYS = {
    "adamw": {},
    "sgd": {"optimizer": "sgd", "lr": 0.1},
    "momentum": {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "warmup": 0.5},
    "muon": {"optimizer": "muon", "optimizer_settings": {"matrix_lr": 0.01, "ns_steps": 3}, "schedule": "linear"},
    "dropout": {"dropout": 0.3, "masking": "bernoulli:0.4"},
    "exact": {"targets": "exact", "schedule": "cosine"},
    "bf16": {"precision": "bf16", "schedule": "linear"},
    "adversary": {"adversary_task": "state-4", "adversary_strength": 0.5, "adversary_sentences": 16, "dropout": 0.2},
    "growing adversary": {"adversary_task": "state-4", "adversary_sentences": 16} | JUMPY,
}


def stopped(folder, name, config, rows, step):
    """The rows on record after a session that is told to stop while it does this step."""
    rows, seen = known(folder, rows), []
    training = running(folder, name, config, lambda step, loss: seen.append(step), lambda: seen[-1:] == [step])
    with pytest.raises(StoppedError, match=f"stopped at step {step} of {config.steps}; run the same command again"):
        rows.extend(row.as_json() for row in training)
    assert checkpoints(folder, kept_only=False)[-1][0] == step
    return rows


SLOW_WAYS = ("sgd", "momentum", "growing adversary")


@pytest.mark.parametrize(
    "way", [pytest.param(way, marks=pytest.mark.slow) if way in SLOW_WAYS else way for way in WAYS]
)
def test_a_stopped_run_has_a_checkpoint_of_that_step_and_ends_with_the_same_bits(way, tmp_path):
    config = short(**WAYS[way])
    whole, rows = session(tmp_path / "whole", "bert-2x16", config), []
    # Between rows, at a row (6, 21), at a checkpoint that serves to resume (5), at one kept (16), twice, at the end.
    for step in (1, 2, 5, 6, 11, 16, 17, 21, 23):
        rows = stopped(tmp_path / "parts", "bert-2x16", config, rows, step)
    rows = session(tmp_path / "parts", "bert-2x16", config, rows)
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)
    if way == "growing adversary":
        strengths = [row["adversary_strength"] for row in rows]
        assert any(a < b for a, b in pairwise(strengths))
        assert any(a > b for a, b in pairwise(strengths))


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_may_be_stopped_at_any_step(name, stride, tmp_path):
    config = short()
    whole = session(tmp_path / "whole", name, config)
    for step in range(1, 24, stride):
        run = tmp_path / str(step)
        rows = session(run, name, config, stopped(run, name, config, [], step))
        check_same(tmp_path / "whole", whole, run, rows)


def test_a_run_that_is_told_to_stop_at_its_last_step_measures_when_it_goes_on(tmp_path):
    config = short()
    rows = stopped(tmp_path, "bert-1x16", config, [], 24)
    state = checkpoint.read_state(checkpoints(tmp_path, kept_only=False)[-1][1])
    assert (state["step"], state["row_due"], state["finished"], state["keep"]) == (24, True, False, False)
    rows = session(tmp_path, "bert-1x16", config, rows)
    assert comparable(rows) == comparable(session(tmp_path / "whole", "bert-1x16", config))
    assert checkpoint.read_state(checkpoints(tmp_path)[-1][1])["finished"]


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x16"])
@pytest.mark.parametrize("stride", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_a_run_may_be_stopped_while_kl_is_measured(name, stride, tmp_path, monkeypatch):
    """Before any forward pass of any measurement; the row is made when the run goes on, from the same weights."""
    monkeypatch.setattr(objective, "EVALUATION_CHUNK", 10)
    config = short(steps=9, checkpoints=[6], **WAYS["dropout"])
    whole = session(tmp_path / "whole", name, config)
    stops = 0
    for asked in range(1, 100, stride):
        count, run = [0], tmp_path / str(asked)

        def stop(count=count, asked=asked):
            count[0] += 1
            return count[0] == asked

        rows = []
        try:
            rows.extend(row.as_json() for row in running(run, name, config, should_stop=stop))
            break
        except StoppedError:
            stops += 1
        check_same(tmp_path / "whole", whole, run, session(run, name, config, rows))
    # Nine steps, and three forward passes at least at each of the rows 3, 6 and 9.
    assert stops * stride >= 9 + 3 * 3


def test_a_row_that_had_been_put_off_has_no_speed(tmp_path):
    """This session has trained nothing before it."""
    config = short(checkpoints=[], resume_every=100)
    rows = stopped(tmp_path, "bert-1x16", config, [], 6)
    rows = session(tmp_path, "bert-1x16", config, rows)
    assert [row["step"] for row in rows if row["tokens_per_second"] is None] == [6]
    assert all(row["tokens_per_second"] > 0 for row in rows if row["step"] != 6)


def test_a_kill_after_a_row_that_had_been_put_off_changes_no_bit(tmp_path):
    """The checkpoint still says that the row is due, and the row is on record: it is forgotten and made again."""
    config = short(checkpoints=[], resume_every=100)
    whole, run = session(tmp_path / "whole", "bert-1x16", config), tmp_path / "parts"
    rows = stopped(run, "bert-1x16", config, [], 6)
    rows = session(run, "bert-1x16", config, rows, take=1)
    assert [row["step"] for row in rows] == [3, 6]
    assert [row["step"] for row in known(run, rows)] == [3]
    check_same(tmp_path / "whole", whole, run, session(run, "bert-1x16", config, rows))


def test_weights_that_are_no_numbers_are_not_kept_by_a_stop(tmp_path):
    """The step's loss was still finite: it is the weights that say that the last good checkpoint is the one before."""
    seen = []

    def spoil():
        if seen[-1] == 13:
            with torch.no_grad():
                made.model.words.embedding.weight[3] = math.nan
        return seen[-1] == 13

    def note(step, loss):
        seen.append(step)

    made = trainer("bert-1x16", short(), tmp_path, on_step=note, should_stop=spoil)
    with pytest.raises(DivergedError, match="training diverged at step 13: a weight is not a number"):
        list(made.rows())
    assert [step for step, _ in checkpoints(tmp_path, kept_only=False)] == [8, 10]


# ---- a real kill

VICTIM = """
import json, os, pathlib, signal, sys, threading
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[1])
from satlab.system.disk import append_lines
from support.training import short, trainer
folder, model, config = pathlib.Path(sys.argv[2]), sys.argv[3], short(**json.loads(sys.argv[4]))
steps, delay, seen = int(sys.argv[5]), float(sys.argv[6]), []
def on_step(step, loss):
    seen.append(step)
    if len(seen) == steps:
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)).start()
for row in trainer(model, config, folder, on_step=on_step).rows():
    append_lines(folder / "rows.jsonl", [row.as_json()])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dropout"), [("bert-1x16", 0.2), ("lstm-1x16", 0.0)])
def test_a_run_killed_three_times_ends_with_the_same_bits(name, dropout, tmp_path):
    changes = {"steps": 260, "dropout": dropout, "resume_every": 2, "evaluate_every": 3, "checkpoints": [30, 90]}
    run, rng = tmp_path / "killed", np.random.default_rng(7)
    run.mkdir()
    for _ in range(3):
        moment = [str(int(rng.integers(5, 40))), str(float(rng.uniform(0, 0.03)))]
        command = [sys.executable, "-c", VICTIM, str(TESTS), str(run), name, json.dumps(changes)]
        victim = subprocess.run([*command, *moment], check=False, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert victim.returncode == -signal.SIGKILL
    config = short(**changes)
    reached = checkpoints(run, kept_only=False)[-1][0]
    assert 10 < reached < 260
    whole = {row["step"]: row for row in comparable(session(tmp_path / "whole", name, config))}
    # Also what a killed session recorded and the next one did again was the same.
    recorded = comparable(read_lines(run / "rows.jsonl"))
    assert recorded == [whole[row["step"]] for row in recorded]
    rows = session(run, name, config, [row for step, row in whole.items() if step <= reached])
    assert comparable(rows) == list(whole.values())
    assert [step for step, _ in checkpoints(run)] == [30, 90, 260]
    for (_, one), (_, other) in zip(checkpoints(tmp_path / "whole"), checkpoints(run), strict=True):
        assert same_weights(tensors_of(one), tensors_of(other))
        assert (one / "state.json").read_text() == (other / "state.json").read_text()
