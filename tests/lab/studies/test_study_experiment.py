"""Studies that name an experiment: the same rows and figures as by `satlab experiment`, cell by cell."""

import csv
import io
import json
import math
from contextlib import redirect_stdout

import pytest
import yaml

from satlab.lab.cli import main as cli
from satlab.lab.measurements.experiment import ROWS, means_of, run_experiment
from satlab.lab.studies.config import STUDIES, load_study
from satlab.lab.studies.experiment import load_experiment
from satlab.theory.experiment import Means, experiments

SPEC = "brackets:lengths=4,searched_lengths=4,neurons=4,steps=2,noisy_steps=4,networks=2,draws=20,sentences=2 10,dead=3"
CELLS = 9


def written(folder, **content):
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"experiment": SPEC} | content))
    return path


def rows_of(file):
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study, done in parts: two of its cells, one of them twice, then the rest; its directory and its last row."""
    folder = tmp_path_factory.mktemp("experiment")
    path, out = written(folder, question="Does it?"), folder / "out"
    for cell in ("4", "0", "4"):
        assert cli.run(["study", str(path), "--out", str(out), "--cell", cell]) == 0
    assert len({json.loads(line)["cell"] for line in (out / ROWS).read_text().splitlines()}) == 2
    with redirect_stdout(io.StringIO()) as said:
        assert cli.run(["study", str(path), "--out", str(out)]) == 0
    return out, json.loads(said.getvalue())


def test_a_study_ends_in_figure_and_tables(done):
    out, said = done
    assert said["results"] == str(out / "brackets.csv")
    assert said["figures"] == [str(out / f"brackets{end}") for end in (".png", ".pdf", ".csv", "-means.csv")]
    named = {"brackets.csv", "brackets-means.csv", "brackets.png", "brackets.pdf", ROWS}
    assert {path.name for path in out.iterdir()} == named
    rows = rows_of(out / "brackets.csv")
    labels = [f"T 4, {kind}" for kind in ("averaging", "penalty", "penalty and decay", "label noise and decay")]
    assert {*labels, "claimed, T 4"} < {row["label"] for row in rows}
    assert len({row["label"] for row in rows}) == CELLS


def test_what_is_done_is_not_done_again(done, monkeypatch):
    monkeypatch.setattr(experiments["brackets"], "rows", lambda *_: pytest.fail("computed again"))
    out, _ = done
    before = (out / ROWS).read_bytes()
    assert len(run_experiment(SPEC, out)) == len(before.splitlines())
    assert (out / ROWS).read_bytes() == before


def test_cells_are_listed_and_write_nothing(tmp_path, capsys):
    path = written(tmp_path)
    assert cli.run(["study", str(path), "--out", str(tmp_path / "out"), "--cells"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["cell"] for row in rows] == list(range(CELLS))
    assert rows[0] == {"cell": 0, "of": CELLS, "name": "T 4, averaging"}
    assert not (tmp_path / "out").exists()


def test_means_have_the_errors_of_networks_and_of_draws(done):
    out, _ = done
    rows, means = rows_of(out / "brackets.csv"), rows_of(out / "brackets-means.csv")
    wanted = {"label": "T 4, dead neurons", "sentences": "10", "features": "all"}
    two = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    (mean,) = [row for row in means if all(row[name] == value for name, value in wanted.items())]
    assert len(two) == int(mean["n"]) == 2
    first, second = (float(row["error"]) for row in two)
    assert float(mean["error"]) == pytest.approx((first + second) / 2)
    draws = sum(float(row["error_stderr"]) ** 2 for row in two) / 2
    assert float(mean["error_stderr"]) == pytest.approx(math.sqrt((first - second) ** 2 / 4 + draws))
    assert float(mean["ratio_stderr"]) == pytest.approx(0, abs=1e-12)
    one = next(row for row in means if row["label"] == "T 4, averaging")
    assert (one["n"], one["ratio_stderr"]) == ("1", "")
    assert float(one["error_stderr"]) > 0


def test_means_agree_in_their_columns_and_leave_out_what_has_none():
    rows = [{"a": 1, "x": 2.0}, {"a": 2, "x": 5.0}, {"a": 1, "x": 4.0}, {"a": 1}]
    assert means_of(rows, Means(("a",), ("x",))) == [
        {"a": 1, "x": 3.0, "x_stderr": 1.0, "n": 2},
        {"a": 2, "x": 5.0, "x_stderr": None, "n": 1},
    ]


@pytest.mark.parametrize(
    ("content", "more", "fragments"),
    [
        ({"experiment": "bracket"}, (), ["mine.yaml, experiment: ", "experiment 'bracket'", "brackets"]),
        ({"experiment": "brackets:step=3"}, (), ["mine.yaml, experiment: ", "'step'", "steps"]),
        ({"experiment": "brackets:lengths=5"}, (), ["length is 5, expected an even number"]),
        ({"experiment": 3}, (), ["experiment is '3', expected a string"]),
        ({"models": {"bert-1x8": {}}}, (), ["unknown key 'models'"]),
        ({"qestion": "?"}, (), ["unknown key 'qestion'", "question"]),
        ({"experiment": "drift:etas=3"}, (), ["eta is 3", "largest eigenvalue of H is 1.46"]),
        ({}, ("--workers", 2), ["--workers with an experiment, expected none"]),
        ({}, ("--device", "cuda"), ["--device with an experiment, expected none"]),
        ({}, ("--cache", "here"), ["--cache with an experiment, expected none"]),
        ({}, ("--engine", "ray"), ["--engine with an experiment, expected none"]),
        ({}, ("--cell", CELLS), [f"cell {CELLS}: expected 0 to {CELLS - 1}; --cells lists them"]),
        ({}, ("--cell", -1), [f"cell -1: expected 0 to {CELLS - 1}"]),
    ],
)
def test_wrong_ones_write_nothing(tmp_path, refused, content, more, fragments):
    written(tmp_path, **content)
    refused(["study", "mine.yaml", "--out", "out", *more], *fragments)


def test_a_study_of_models_is_none(tmp_path):
    assert load_experiment("smoke") is None
    assert load_study("smoke").models


def test_a_study_that_extends_takes_over_the_experiment(tmp_path):
    written(tmp_path, question="Does it?")
    (tmp_path / "more.yaml").write_text("extends: mine.yaml\nquestion: And this?\n")
    study = load_experiment(str(tmp_path / "more.yaml"))
    assert (study.experiment, study.question) == (SPEC, "And this?")


def test_the_experiments_that_ship_ask_a_question():
    found = {path.stem: load_experiment(path.stem) for path in STUDIES.glob("*.yaml")}
    shipped = {name: study for name, study in found.items() if study is not None}
    assert {study.experiment.partition(":")[0] for study in shipped.values()} == set(experiments)
    assert all(name.startswith("liu2022-theorem") for name in shipped)
    assert all(study.question.endswith("?") for study in shipped.values())
