"""A study done cell by cell, in any order, or by a Ray cluster: what is left is what one process leaves."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from support.commands import said_by
from support.ray_cluster import environments, needs_ray
from support.studies import STUDY, comparable, lines, timeless, write

from satlab.errors import DivergedError, WorkerError
from satlab.lab.cli import main as cli
from satlab.lab.runs.training import train_run
from satlab.lab.studies import slurm_array as array
from satlab.lab.studies.config import load_study
from satlab.lab.studies.executors import _where_it_is_seen
from satlab.lab.studies.slurm_array import run_cell

CELLS = [
    {"cell": 0, "of": 3, "train": "bert-1x8-seed0", "model": "bert-1x8", "seed": 0},
    {"cell": 1, "of": 3, "train": "lstm-1x8-seed0", "model": "lstm-1x8", "seed": 0},
    {"cell": 2, "of": 3, "baselines": "state-4"},
]


def command_of(folder, *options, **changes):
    """The study's command without its number of workers."""
    return [*write(folder, **changes)[:-2], *map(str, options)]


def done(out):
    """What must not be done twice."""
    kept = [*out.glob("runs/**/*"), out / "baselines.jsonl"]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in kept if path.is_file()}


def test_cells_are_listed_and_nothing_is_written(tmp_path, capsys):
    assert cli.run(command_of(tmp_path, "--cells")) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == CELLS
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_all_cells_in_any_order_leave_what_the_study_leaves(finished, tmp_path):
    for cell in (2, 1, 0):
        assert cli.run(command_of(tmp_path, "--cell", cell)) == 0
    before = done(tmp_path / "out")
    assert cli.run(write(tmp_path)) == 0
    assert done(tmp_path / "out") == before
    assert comparable(tmp_path / "out") == comparable(finished)
    assert (tmp_path / "out" / "figures" / "kl_vs_step.png").exists()


@pytest.mark.slow
def test_the_study_does_what_no_cell_has_done(finished, tmp_path, capsys):
    out = tmp_path / "out"
    for cell in (2, 1):
        said = said_by(capsys, command_of(tmp_path, "--cell", cell))
        assert json.loads(said.out) == {"study": str(out)} | CELLS[cell]
    assert [path.name for path in (out / "runs").iterdir()] == ["lstm-1x8-seed0"]
    assert not (out / "results.csv").exists()
    before = done(out)
    assert cli.run(command_of(tmp_path, "--cell", 1)) == 0
    assert done(out) == before
    assert cli.run(write(tmp_path)) == 0
    assert {path: kept for path, kept in done(out).items() if path in before} == before
    assert comparable(out) == comparable(finished)
    assert (out / "figures" / "kl_vs_step.png").exists()


def start(command, environment=None):
    return subprocess.Popen(
        [sys.executable, "-m", "satlab", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=(environment or os.environ) | {"OMP_NUM_THREADS": "1"},
    )


def wait_for(process, file, rows, patience=120):
    deadline = time.monotonic() + patience
    while not file.exists() or file.read_bytes().count(b"\n") < rows:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_cell_that_is_stopped_goes_on_and_ends_the_same(finished, tmp_path, number):
    process = start(command_of(tmp_path, "--cell", 0))
    wait_for(process, tmp_path / "out" / "runs" / "bert-1x8-seed0" / "metrics.jsonl", 3)
    process.send_signal(number)
    error = process.communicate(timeout=180)[1]
    assert process.returncode == (143 if number == signal.SIGTERM else -9)
    if number == signal.SIGTERM:
        (last,) = [line for line in error.splitlines() if line.startswith("satlab:")]
        assert "by SIGTERM; run the same command again to go on" in last
    assert not (tmp_path / "out" / "runs" / "bert-1x8-seed0" / "results.jsonl").exists()
    for cell in (0, 1, 2):
        assert cli.run(command_of(tmp_path, "--cell", cell)) == 0
    assert cli.run(write(tmp_path)) == 0
    assert comparable(tmp_path / "out") == comparable(finished)


@pytest.mark.slow
def test_cells_that_begin_at_the_same_moment_do_not_disturb_one_another(finished, tmp_path):
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        command_of(folder)
        command = ["study", str(folder / "study.yaml"), "--out", str(folder / "out")]
        running = [start([*command, "--cell", str(cell)]) for cell in range(3)]
        ended = [process.communicate(timeout=300) for process in running]
        assert [process.returncode for process in running] == [0, 0, 0], ended
        assert cli.run(write(folder)) == 0
        assert comparable(folder / "out") == comparable(finished)
        assert [path.name for path in (folder / "out").iterdir() if path.name.startswith(".")] == []


def test_a_cell_that_diverges_says_so_and_what_came_before_is_measured(finished, tmp_path, capsys, monkeypatch):
    def train_and_diverge(run, device, should_stop):
        train_run(run, device, should_stop=should_stop)
        raise DivergedError("training diverged at step 121")

    monkeypatch.setattr(array, "train_run", train_and_diverge)
    assert cli.run(command_of(tmp_path, "--cell", 0)) == 1
    assert capsys.readouterr().err.splitlines()[-1] == "satlab: training diverged at step 121"
    rows, expected = (out / "runs" / "bert-1x8-seed0" / "results.jsonl" for out in (tmp_path / "out", finished))
    assert timeless(lines(rows)) == timeless(lines(expected))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        (["--cell", "3"], "cell 3: expected 0 to 2"),
        (["--cell", "-1"], "cell -1: expected 0 to 2"),
        (["--cell", "0", "--workers", "2"], "--cell works in one process"),
        (["--cell", "0", "--engine", "ray"], "--cell works in one process"),
        (["--engine", "rey"], "unknown engine 'rey': did you mean 'ray'?"),
        (["--cell", "x"], "cell is 'x', expected an integer or null"),
    ],
)
def test_wrong_options_are_one_line_and_nothing_is_written(tmp_path, refused, options, match):
    refused(command_of(tmp_path, *options), match)


@pytest.mark.parametrize("change", [{"models": {"bert-1x9x": {}}}, {"tasks": ["state-40"]}, {"seeds": [1, 1]}])
def test_a_cell_of_a_wrong_study_writes_nothing(tmp_path, refused, change):
    refused(command_of(tmp_path, "--cell", 0, **change))


def test_a_cell_does_not_write_into_something_else(tmp_path, refused):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").touch()
    refused(command_of(tmp_path, "--cell", 0), "holds something else")


def test_without_ray_or_a_cluster_nothing_is_written(tmp_path, refused, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "ray", None)
    refused(command_of(tmp_path, "--engine", "ray"), "pip install 'saturation-lab[ray]'")


def test_a_machine_that_does_not_see_the_directory_says_so(tmp_path):
    with pytest.raises(WorkerError, match=r"not there on the machine .*, expected a directory that all machines"):
        _where_it_is_seen(tmp_path / "out", print)


LONGER = STUDY["train"] | {"steps": 4000, "checkpoints": [2000], "resume_every": 500, "evaluate_every": 100}


def kill_a_worker(folder, patience=60):
    """Kills a process of the cluster that works on a cell."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        for process, line in environments(folder).items():
            if line.startswith(b"ray::_call"):
                os.kill(process, signal.SIGKILL)
                return
    raise AssertionError("no worker was seen")


@pytest.mark.slow
@needs_ray
@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs Linux's /proc")
def test_a_cluster_leaves_what_one_process_leaves_stopped_and_killed(cluster, tmp_path):
    environment, folder = cluster
    (tmp_path / "here").mkdir()
    assert cli.run(write(tmp_path / "here", train=LONGER)) == 0
    command, out = command_of(tmp_path, "--engine", "ray", train=LONGER), tmp_path / "out"
    metrics = out / "runs" / "bert-1x8-seed0" / "metrics.jsonl"
    process = start(command, environment)
    wait_for(process, metrics, 3)
    process.send_signal(signal.SIGTERM)
    error = process.communicate(timeout=120)[1]
    assert process.returncode == 143, error
    assert "left to train: " in error.splitlines()[-1]
    assert "at step 0 of" not in error.splitlines()[-1]
    assert [path for path in out.glob("runs/*/checkpoints/step-*") if int(path.name[5:]) % 100 != 0]
    process = start(command, environment)
    wait_for(process, metrics, len(lines(metrics)) + 3)
    kill_a_worker(folder)
    error = process.communicate(timeout=300)[1]
    assert process.returncode == 0, error
    assert comparable(out) == comparable(tmp_path / "here" / "out")


def test_a_cell_reports_its_parts(tmp_path):
    command_of(tmp_path)
    seen = []
    run_cell(load_study(str(tmp_path / "study.yaml")), tmp_path / "out", 0, lambda *news: seen.append(news))
    titles = [title for title, *_ in seen]
    assert titles[0] == "train bert-1x8-seed0"
    assert sorted(titles[1:]) == sorted(
        f"{what} bert-1x8-seed0 step {step}" for what in ("kl", "flatness", "probe state-4") for step in (60, 120)
    )
    assert [(number, of) for _, number, of, *_ in seen] == [(i, 7) for i in range(1, 8)]
