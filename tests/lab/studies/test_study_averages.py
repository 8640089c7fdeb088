"""Averages in a study: made of the trained run of their seed, measured like it, once, in whatever order."""

import json

import pytest
import yaml
from support.studies import STUDY, comparable, write

from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run
from satlab.lab.studies.config import load_study
from satlab.lab.studies.study import check_study

MODELS = {
    "mean": {"average_of": "raw", "last": 2},
    "raw": {"model": "bert-1x8", "average": 0.9},
    "ema": {"average_of": "raw", "ema": True},
}
CHANGES = {"models": MODELS, "seeds": [0, 1], "tasks": [], "train": STUDY["train"] | {"steps": 40, "checkpoints": [20]}}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("averages")
    assert cli.run(write(folder, **CHANGES)) == 0
    return folder / "out"


def test_each_average_is_that_of_the_run_of_its_seed_and_measured(done):
    runs = {path.name: load_run(path) for path in sorted((done / "runs").iterdir())}
    assert list(runs) == [f"{name}-seed{seed}" for name in ("ema", "mean", "raw") for seed in (0, 1)]
    for name, run in runs.items():
        model, seed = name.split("-seed")
        steps = [40] if model == "mean" else [20, 40]
        assert [step for step, _ in run.checkpoints] == steps
        assert {row["step"] for row in run.results} == set(steps)
        assert {row["what"] for row in run.results} == {"kl", "hessian_trace"}
        assert (run.model, run.config.seed) == ("bert-1x8", int(seed))
        content = yaml.safe_load((run.folder / "config.yaml").read_text())
        expected = {"mean": {"last": 2}, "ema": {"ema": 0.9}, "raw": None}[model]
        assert content.get("averaged") == (expected and {"run": f"../raw-seed{seed}"} | expected)


def test_the_same_study_again_does_nothing(done):
    before = {path: path.stat().st_mtime_ns for path in done.glob("runs/**/*") if path.is_file()}
    assert cli.run(write(done.parent, **CHANGES)) == 0
    assert {path: path.stat().st_mtime_ns for path in done.glob("runs/**/*") if path.is_file()} == before


def test_a_cell_makes_and_measures_the_averages_of_its_run(done, tmp_path, capsys):
    line = write(tmp_path, **CHANGES)[:-2]
    assert cli.run([*line, "--cells"]) == 0
    cells = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert [cell["train"] for cell in cells] == ["raw-seed0", "raw-seed1"]
    for cell in (1, 0):
        assert cli.run([*line, "--cell", str(cell)]) == 0
    assert cli.run(write(tmp_path, **CHANGES)) == 0
    assert comparable(tmp_path / "out") == comparable(done)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"average_of": "rav", "last": 2}, "model a: unknown model to average 'rav': did you mean 'raw'?"),
        ({"average_of": "b", "last": 2}, "model a: unknown model to average 'b'"),
        ({"average_of": "raw"}, "model a: neither ema nor last given"),
        ({"average_of": "raw", "ema": True, "last": 2}, "model a: both ema and last given"),
        ({"average_of": "raw", "last": 1}, "model a: last is 1, expected at least 2"),
        ({"average_of": "raw", "last": 3}, "model a: last is 3, expected at most 2, the checkpoints of 'raw'"),
        ({"average_of": "raw", "last": "x"}, "model a: last is 'x', expected an integer"),
        ({"average_of": "raw", "ema": True, "lr": 0.1}, "model a: unknown key 'lr'"),
        ({"average_of": "plain", "ema": True}, "model a: ema of 'plain', whose training keeps no average"),
        ({"average_of": ["raw"], "ema": True}, "model a: unknown model to average"),
    ],
)
def test_a_wrong_average_is_refused_and_nothing_is_written(refused, tmp_path, model, said):
    plain, other = {"model": "bert-1x8"}, {"average_of": "raw", "last": 2}
    models = {"a": model, "b": other, "raw": MODELS["raw"], "plain": plain}
    refused(write(tmp_path, **CHANGES | {"models": models}), said)


def test_a_directory_with_another_average_or_run_is_refused(done, tmp_path, capsys):
    for models, said in (
        (MODELS | {"mean": {"average_of": "raw", "ema": True}}, "holds another run (average: "),
        (MODELS | {"ema": {"model": "bert-1x8"}}, "made by satlab average, expected a run that was trained"),
        ({"mean": {"average_of": "ema", "last": 2}, "ema": {"model": "bert-1x8"}}, "holds another run (average: "),
    ):
        line = [*write(tmp_path, **CHANGES | {"models": models})[:2], "--out", str(done)]
        before = {path: path.stat().st_mtime_ns for path in done.rglob("*")}
        assert cli.run(line) == 2
        assert said in capsys.readouterr().err
        assert {path: path.stat().st_mtime_ns for path in done.rglob("*")} == before


def test_averages_need_no_training_settings_of_their_own(tmp_path):
    write(tmp_path, **CHANGES)
    grid = check_study(load_study(str(tmp_path / "study.yaml")), tmp_path / "out")
    assert [name for name, _ in grid] == ["raw", "raw"]
