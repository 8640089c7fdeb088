"""Training spread over processes, against the same training in one: the same losses, weights and files."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from support import TESTS
from support.training import comparable, tensors_of
from support.worlds import CASES, LAST_STEP, config_of, run_case

from satlab.errors import InputError
from satlab.generators.batches import Batch
from satlab.lab.cli import main as cli
from satlab.lab.runs.run import create_run
from satlab.models import load_model
from satlab.system.disk import read_lines
from satlab.train import TrainConfig, checkpoints
from satlab.train.parallel.world import World

TOLERANCE = {"bf16": 2e-2}
"""Of losses, KL and weights; 1e-9 elsewhere: float64 throughout, sums in another order."""

WHOLE = [case for case in CASES if not case.startswith(("stopped", "begun"))]
STOPPED = [case for case in CASES if case.startswith("stopped")]
BEGUN = [case for case in CASES if case.startswith("begun")]


def torchrun(size, *command):
    """The command line that runs this in so many processes of this machine."""
    options = ["--standalone", "--nproc-per-node", str(size)]
    return [sys.executable, "-m", "torch.distributed.run", *options, *map(str, command)]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS)}


def close(one, other, case):
    return torch.allclose(one.double(), other.double(), rtol=0, atol=TOLERANCE.get(case, 1e-9))


def check_rows(rows, expected, case):
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    for row, other in zip(comparable(rows), comparable(expected), strict=True):
        assert row.keys() == other.keys()
        numbers = [name for name, value in other.items() if isinstance(value, float)]
        assert {name: row[name] for name in numbers} == pytest.approx(
            {name: other[name] for name in numbers}, abs=TOLERANCE.get(case, 1e-9), rel=0
        )
        assert all(row[name] == value for name, value in other.items() if name not in numbers)


def check_checkpoints(run, expected, case):
    assert [step for step, _ in checkpoints(run)] == [step for step, _ in checkpoints(expected)]
    for (_, folder), (_, other) in zip(checkpoints(run), checkpoints(expected), strict=True):
        tensors, there = tensors_of(folder), tensors_of(other)
        assert tensors.keys() == there.keys()
        assert all(close(tensors[name], there[name], case) for name in tensors)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """(the folder of each case, its rows) after training in this process, never interrupted."""
    folder = tmp_path_factory.mktemp("alone")
    return folder, {case: run_case(case, folder / case)[0] for case in CASES}


@pytest.fixture(scope="module", params=[pytest.param(size, marks=pytest.mark.slow) for size in (2, 3)])
def spread(request, tmp_path_factory):
    """(the number of processes, the folder with their cases, {case: what each process saw})."""
    folder, size = tmp_path_factory.mktemp(f"spread-{request.param}"), request.param
    for case in BEGUN:
        run_case(case, folder / case, stop_at=LAST_STEP)
    done = subprocess.run(
        torchrun(size, TESTS / "support" / "worlds.py", folder),
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen = {
        case: [json.loads((folder / f"{case}-{rank}.json").read_text()) for rank in range(size)]
        for case in [*CASES, "flags"]
    }
    return size, folder, seen


@pytest.mark.parametrize("case", WHOLE)
def test_losses_and_weights_are_those_of_one_process(alone, spread, case):
    (whole, expected), (_, folder, seen) = alone, spread
    rows, stopped = seen[case][0]
    assert stopped is None
    check_rows(rows, expected[case], case)
    check_checkpoints(folder / case, whole / case, case)


@pytest.mark.parametrize("case", list(CASES))
def test_no_process_sees_another_number(spread, case):
    _, _, seen = spread
    assert all(other == seen[case][0] for other in seen[case])


@pytest.mark.parametrize("case", BEGUN)
def test_what_one_process_began_several_finish(alone, spread, case):
    (whole, expected), (_, folder, seen) = alone, spread
    rows, _ = seen[case][0]
    assert rows[0]["step"] > LAST_STEP
    check_rows(rows, [row for row in expected[case] if row["step"] > LAST_STEP], case)
    check_checkpoints(folder / case, whole / case, case)


@pytest.mark.parametrize("case", STOPPED)
def test_one_process_that_is_asked_stops_all_and_one_process_goes_on(alone, spread, tmp_path, case):
    (whole, expected), (_, folder, seen) = alone, spread
    rows, stopped = seen[case][0]
    assert stopped.startswith(f"stopped at step {LAST_STEP} of")
    assert checkpoints(folder / case, kept_only=False)[-1][0] == LAST_STEP
    shutil.copytree(folder / case, tmp_path / case)
    more, _ = run_case(case, tmp_path / case)
    check_rows(rows + more, expected[case], case)
    check_checkpoints(tmp_path / case, whole / case, case)


def test_flags_and_words_are_agreed_upon(spread):
    size, _, seen = spread
    assert [found[:3] for found in seen["flags"]] == [[True, False, {"rank": 0}]] * size


def test_of_a_sharded_model_each_process_holds_a_part(spread):
    size, _, seen = spread
    weights, moments, whole = zip(*(found[3] for found in seen["flags"]), strict=True)
    assert sum(weights) == sum(moments) == whole[0]
    assert max(weights) < 1.3 * whole[0] / size


def test_shares_are_the_batch_cut_into_parts():
    inputs, rows = torch.arange(21).view(7, 3), torch.tensor([0, 0, 2, 3, 4, 6, 6, 6])
    batch = Batch(inputs, rows, torch.arange(8) % 3, torch.arange(8))
    truth = torch.rand(8, 5, generator=torch.Generator().manual_seed(0))
    found = []
    for rank in range(3):
        part, mine = World(rank, 3).share(batch, truth)
        assert len(part.inputs) == len(range(rank, 7, 3))
        for i, (row, position, target) in enumerate(zip(part.rows, part.positions, part.targets, strict=True)):
            assert torch.equal(part.inputs[row], inputs[rows[target]])
            assert torch.equal(mine[i], truth[target])
            assert position == batch.positions[target]
            found.append(int(target))
    assert sorted(found) == list(range(8))


TRAIN = [
    "train",
    "demo-hmm",
    "--model",
    "bert-1x16",
    "--batch-size",
    "7",
    "--evaluation-sentences",
    "60",
    "--lr",
    "3e-3",
]


def spread_train(out, size, *options):
    return subprocess.run(
        torchrun(size, "-m", "satlab", *TRAIN, "--out", out, *options),
        env=environment(),
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )


def own_lines(text):
    """What satlab said, without torchrun's lines about its processes."""
    return [line for line in text.splitlines() if line.startswith(("satlab:", "step ", "{"))]


def files(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_command_leaves_what_one_process_leaves_and_says_it_once(tmp_path, capsys):
    short = ["--steps", "12", "--evaluate-every", "4"]
    done = spread_train(tmp_path / "two", 2, *short)
    assert done.returncode == 0, done.stderr
    assert cli.run([*TRAIN, "--out", str(tmp_path / "one"), *short]) == 0
    assert files(tmp_path / "two").keys() == files(tmp_path / "one").keys()
    here, there = (read_lines(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    for row, other in zip(here, there, strict=True):
        assert row["kl"] == pytest.approx(other["kl"], abs=1e-5)
        assert row["loss"] == pytest.approx(other["loss"], abs=1e-5)
    (printed,) = done.stdout.splitlines()
    seconds = {"seconds": pytest.approx(sum(row["seconds"] for row in there))}
    assert json.loads(printed) == {"run": str(tmp_path / "two"), "stopped": "step limit"} | there[-1] | seconds
    rows = [line.split(":")[0] for line in own_lines(done.stderr) if line.startswith("step")]
    assert rows == ["step 4", "step 8", "step 12"]
    assert own_lines(done.stderr)[-2].startswith("satlab: warning: not saturated")
    before = files(tmp_path / "two")
    capsys.readouterr()
    assert cli.run([*TRAIN, "--out", str(tmp_path / "two"), *short, "--sharding", "fsdp"]) == 0
    assert files(tmp_path / "two") == before
    weights = load_model(tmp_path / "one").state_dict()
    for name, weight in load_model(tmp_path / "two").state_dict().items():
        assert torch.allclose(weight, weights[name], atol=1e-5)


WRONG = [
    (["--model", "lstm-1x8", "--sharding", "fsdp"], 2, "sharding 'fsdp' of model 'lstm-1x8', expected one of transfor"),
    pytest.param(["--batch-size", "1"], 2, "batch_size is 1 for 2 processes", marks=pytest.mark.slow),
    pytest.param(["--steps", "none"], 2, "steps is 'none'", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("options", "status", "message"), WRONG)
def test_wrong_input_is_one_line_and_nothing_written(tmp_path, options, status, message):
    done = spread_train(tmp_path / "run", 2, *options)
    assert done.returncode == 1  # torchrun's own, whatever its processes end with
    assert f"exitcode  : {status}" in done.stderr
    (line,) = own_lines(done.stderr)
    assert message in line
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_divergence_is_one_line(tmp_path):
    done = spread_train(tmp_path / "run", 2, "--lr", "1e30", "--warmup", "0")
    (line,) = own_lines(done.stderr)
    assert "diverged at step" in line


def ranks_of(launcher):
    """{rank: process id} of torchrun's processes."""
    found = {}
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        entries = Path(f"/proc/{child}/environ").read_bytes().split(b"\0")
        found |= {int(entry[5:]): int(child) for entry in entries if entry.startswith(b"RANK=")}
    return found


LONG = ["--steps", "500", "--evaluate-every", "20", "--resume-every", "50"]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="needs Linux's /proc")
@pytest.mark.parametrize("sharding", ["ddp", "fsdp"])
def test_stopped_and_killed_it_goes_on_to_the_same_bits(tmp_path, sharding):
    options = [*LONG, "--sharding", sharding]
    assert spread_train(tmp_path / "whole", 2, *options).returncode == 0
    out = tmp_path / "parts"
    for moment, (number, whom) in enumerate(
        [(signal.SIGTERM, None), (signal.SIGKILL, 0), (signal.SIGKILL, 1)], start=1
    ):
        process = subprocess.Popen(
            torchrun(2, "-m", "satlab", *TRAIN, "--out", out, *options),
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 120
        while not (out / "metrics.jsonl").exists() or read_lines(out / "metrics.jsonl")[-1]["step"] < 120 * moment:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(process.pid if whom is None else ranks_of(process.pid)[whom], number)
        error = process.communicate(timeout=120)[1]
        (line,) = [line for line in own_lines(error) if line.startswith("satlab:")]
        assert ("by SIGTERM" if whom is None else "another process of this training has stopped") in line
    assert spread_train(out, 2, *options).returncode == 0
    whole, parts = checkpoints(tmp_path / "whole"), checkpoints(out)
    assert [step for step, _ in whole] == [step for step, _ in parts]
    for (_, one), (_, other) in zip(whole, parts, strict=True):
        assert all(torch.equal(value, tensors_of(other)[name]) for name, value in tensors_of(one).items())
    rows = [[row["step"] for row in read_lines(run / "metrics.jsonl")] for run in (tmp_path / "whole", out)]
    assert rows[0] == rows[1]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a compiler")
def test_it_can_be_compiled(tmp_path):
    short = ["--steps", "6", "--evaluate-every", "3", "--compile", "true"]
    done = spread_train(tmp_path / "two", 2, *short)
    assert done.returncode == 0, done.stderr
    assert cli.run([*TRAIN, "--out", str(tmp_path / "one"), *short[:-2]]) == 0
    here, there = (read_lines(tmp_path / name / "metrics.jsonl") for name in ("one", "two"))
    for row, other in zip(here, there, strict=True):
        assert row["kl"] == pytest.approx(other["kl"], abs=1e-4)


def test_other_commands_are_refused_in_several_processes(tmp_path, capsys, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert cli.run(["generate", "demo-hmm", "--sentences", "9", "--out", str(tmp_path / "c")]) == 2
    assert "satlab generate in 2 processes, expected one" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("rank", "size"), [("2", "2"), ("-1", "2"), ("0", "0"), ("a", "2")])
def test_an_environment_that_makes_no_sense_is_refused(monkeypatch, rank, size):
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    with pytest.raises(InputError, match=f"RANK {rank}, WORLD_SIZE {size}"):
        World.from_environment()


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="device 'tpu' is not available"):
        World().device("tpu")


@pytest.mark.parametrize("beside", [{"compile": True}, {"adversary_task": "state-4", "adversary_strength": 1.0}])
def test_what_needs_a_whole_model_is_refused_with_a_sharded_one(beside):
    with pytest.raises(InputError, match="which needs the model as a whole"):
        TrainConfig(sharding="fsdp", **beside)


def test_a_run_may_be_gone_on_with_sharded_otherwise(tmp_path):
    settings = (tmp_path / "run", "demo-hmm", "bert-1x16")
    create_run(*settings, config_of("bert"))
    assert create_run(*settings, config_of("fsdp-bert")).config.sharding == "fsdp"
    with pytest.raises(InputError, match="holds another run"):
        create_run(*settings, TrainConfig())
