"""A study end to end on one core: what it leaves, that nothing is done twice, and that interruptions change nothing."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from support.jobs import gone
from support.studies import STUDY, comparable, lines, timeless, write

from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run
from satlab.lab.studies.config import load_study
from satlab.lab.studies.study import prepare

RUNS = ["bert-1x8-seed0", "lstm-1x8-seed0"]


def test_what_a_study_leaves(finished):
    assert sorted(path.name for path in (finished / "runs").iterdir()) == RUNS
    figures = {f"{name}-state-4" for name in ("flatness_vs_accuracy", "probe_vs_step")} | {"kl_vs_step"}
    tables = {"correlation.csv", "matched.csv"}
    # Whether the two runs agree in KL, and so have a figure, is not what is tested here.
    names = {path.name for path in (finished / "figures").iterdir() if not path.name.startswith("matched-")}
    assert names == {f"{name}.{suffix}" for name in figures for suffix in ("png", "pdf", "csv")} | tables
    assert "<title>out</title>" in (finished / "report.html").read_text()
    for name in RUNS:
        run = load_run(finished / "runs" / name)
        assert [step for step, _ in run.checkpoints] == [60, 120]
        assert {(row["step"], row["what"]) for row in run.results} == {
            (step, what) for step in (60, 120) for what in ("kl", "hessian_trace", "probe")
        }
    assert load_run(finished / "runs" / "lstm-1x8-seed0").config.lr == 0.01
    assert load_run(finished / "runs" / "bert-1x8-seed0").config.lr == 0.003
    assert [row["method"] for row in lines(finished / "baselines.jsonl")] == ["majority", "lookup", "bayes"]


def test_the_tables_hold_the_same_rows_and_all_of_them(finished):
    parquet = pq.read_table(finished / "results.parquet").to_pylist()
    with (finished / "results.csv").open() as file:
        text = list(csv.DictReader(file))
    assert [{k: "" if v is None else str(v) for k, v in row.items()} for row in parquet] == text
    recorded = lines(finished / "baselines.jsonl")
    for name in RUNS:
        recorded += lines(finished / "runs" / name / "results.jsonl")
    assert sorted((r["value"], r["what"]) for r in parquet) == sorted((r["value"], r["what"]) for r in recorded)
    assert {(row["run"], row["step"] is None) for row in parquet} == {(None, True), *((name, False) for name in RUNS)}


def test_the_figures_hold_the_rows_of_the_table(finished):
    rows = pq.read_table(finished / "results.parquet").to_pylist()
    expected = sorted((r["run"], r["step"], r["value"]) for r in rows if r["method"] == "linear")
    with (finished / "figures" / "probe_vs_step-state-4.csv").open() as file:
        drawn = sorted((r["run"], int(r["step"]), float(r["accuracy"])) for r in csv.DictReader(file))
    assert drawn == expected


def test_the_study_file_can_be_run_itself(finished, tmp_path):
    again = load_study(str(finished / "study.yaml"))
    assert [run.folder.name for run in prepare(again, tmp_path / "copy")] == RUNS
    assert [run.folder.name for run in prepare(again, finished)] == RUNS


def test_the_study_file_finds_its_grammar_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "g.pcfg").write_text("S -> 'a' S [0.5] | 'b' [0.5]\n")
    content = STUDY | {"language": "g.pcfg", "max_length": 5, "tasks": []}
    (tmp_path / "sub" / "s.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)
    made = prepare(load_study("sub/s.yaml"), Path("out"))
    monkeypatch.chdir(tmp_path / "out")
    again = prepare(load_study("study.yaml"), Path("."))
    assert [run.language.fingerprint() for run in again] == [run.language.fingerprint() for run in made]


def test_running_it_again_changes_nothing(finished, capsys):
    def state():
        kept = [*finished.glob("runs/**/*"), finished / "baselines.jsonl"]
        return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in kept if p.is_file() and p.name != ".lock"}

    before, results = state(), (finished / "results.csv").read_bytes()
    capsys.readouterr()
    assert cli.run(["study", str(finished / "study.yaml"), "--out", str(finished), "--workers", "1"]) == 0
    captured = capsys.readouterr()
    assert state() == before
    assert (finished / "results.csv").read_bytes() == results
    assert captured.out.count("\n") == 1
    assert json.loads(captured.out)["results"] == str(finished / "results.csv")
    assert "Traceback" not in captured.err


def kill_when(ready, command):
    """Starts the command in a group of its own and kills its first process, and that alone, when `ready` says so."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "satlab", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    deadline = time.monotonic() + 90
    try:
        while not ready():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        assert gone(process.pid, 20.0)
    finally:
        if not gone(process.pid, 0.1):
            os.killpg(process.pid, signal.SIGKILL)


MOMENTS = {
    "training": ("runs/*/metrics.jsonl", 3),
    "measuring": ("runs/*/results.jsonl", 1),
}


@pytest.mark.parametrize("moment", [pytest.param("training", marks=pytest.mark.slow), "measuring"])
def test_a_killed_study_goes_on_and_ends_the_same(finished, tmp_path, moment):
    command = write(tmp_path)
    pattern, rows = MOMENTS[moment]

    def ready():
        return any(path.read_bytes().count(b"\n") >= rows for path in (tmp_path / "out").glob(pattern))

    kill_when(ready, command)
    assert not (tmp_path / "out" / "results.csv").exists()
    assert cli.run(command) == 0
    assert comparable(tmp_path / "out") == comparable(finished)


def test_a_cell_that_diverges_is_reported_and_the_others_are_finished(finished, tmp_path, capsys):
    models = {"bert-1x8": {"lr": 1e30, "warmup": 0.0}, "lstm-1x8": {"lr": 0.01}}
    capsys.readouterr()
    assert cli.run(write(tmp_path, models=models)) == 1
    captured = capsys.readouterr()
    last = captured.err.splitlines()[-1]
    assert last.startswith("satlab: ")
    assert "bert-1x8-seed0" in last
    assert "diverged at step" in last
    assert "lower lr" in last
    assert "Traceback" not in captured.err
    rows = pq.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    whole = pq.read_table(finished / "results.parquet").to_pylist()
    assert timeless(rows) == timeless(row for row in whole if row["run"] != "bert-1x8-seed0")
    assert (tmp_path / "out" / "figures" / "kl_vs_step.png").exists()


@pytest.mark.slow
def test_a_study_whose_cells_all_diverge_says_so(tmp_path, capsys):
    models = {"bert-1x8": {"lr": 1e30, "warmup": 0.0}}
    capsys.readouterr()
    assert cli.run(write(tmp_path, models=models)) == 1
    error = capsys.readouterr().err
    assert "diverged at step" in error
    assert "Traceback" not in error


def workers_of(process):
    """The processes that work on a study's cells: forked from the one that has imported what they need."""
    (server,) = [child for child in children_of(process.pid) if b"forkserver" in command_of(child)]
    return children_of(server)


def children_of(process):
    return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def command_of(process):
    return Path(f"/proc/{process}/cmdline").read_bytes()


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
def test_a_worker_that_is_killed_is_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "satlab", *write(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    try:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "out").glob("runs/*/metrics.jsonl")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        (worker,) = workers_of(process)
        os.kill(worker, signal.SIGKILL)
        error = process.communicate(timeout=180)[1].decode()
    finally:
        if not gone(process.pid, 0.1):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 1
    assert "Traceback" not in error
    assert error.splitlines()[-1].startswith("satlab: ")


@pytest.mark.parametrize(("change", "match"), [({"seeds": [0, 0]}, "seeds"), ({"tasks": ["state-1"] * 2}, "tasks")])
def test_what_is_listed_twice_is_refused_and_nothing_written(tmp_path, refused, change, match):
    refused(write(tmp_path, **change), f"study.yaml: {match} are")
