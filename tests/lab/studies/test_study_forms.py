"""Studies that vary one model, extend another study, view models inside a larger one, and end in a paper's form."""

import csv
import json
import math
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from support.studies import STUDY

from satlab.lab.analysis.model_table import wide_rows
from satlab.lab.analysis.published import read_published
from satlab.lab.analysis.results import rows_in, runs_in
from satlab.lab.cli import main as cli
from satlab.lab.figures.paper import check_forms
from satlab.lab.studies.config import STUDIES, load_study
from satlab.lab.studies.experiment import load_experiment
from satlab.lab.studies.models import model_of
from satlab.lab.studies.study import check_study

VARIED = STUDY | {
    "models": {"slow": {"model": "bert-1x8", "lr": 1e-3}, "fast": {"model": "bert-1x8"}},
    "enlarge_to": "bert-2x16",
    "form": ["training", "enlarged", "table"],
    "published": [
        {"quantity": "accuracy", "task": "state-4", "model": "fast", "minus": "slow", "value": 0.1, "source": "Table 1"}
    ],
}


def written(folder, content, name="study.yaml"):
    (folder / name).write_text(yaml.safe_dump(content))
    return folder / name


def run(path, out):
    return cli.run(["study", str(path), "--out", str(out), "--workers", "1"])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("forms")
    assert run(written(folder, VARIED), folder / "out") == 0
    return folder / "out"


def results(out):
    return list(csv.DictReader((out / "results.csv").open()))


def test_variants_of_a_model_are_runs_of_their_own(finished):
    assert sorted(path.name for path in (finished / "runs").iterdir()) == ["fast-seed0", "slow-seed0"]
    configs = [yaml.safe_load(path.read_text()) for path in sorted(finished.glob("runs/*/config.yaml"))]
    assert [content["model"] for content in configs] == ["bert-1x8", "bert-1x8"]
    assert [content["train"]["lr"] for content in configs] == [0.003, 0.001]


def test_the_trace_inside_a_larger_model_is_that_of_the_widened_one(finished):
    """By parameter: the bert's linear weights keep theirs, its embedding's is divided by the factor of width."""
    rows = [row for row in results(finished) if row["run"] == "fast-seed0" and row["step"] == "120"]
    trace = {row["block"]: float(row["value"]) for row in rows if row["what"] == "hessian_trace"}
    inside = {row["block"]: float(row["value"]) for row in rows if row["what"] == "hessian_trace_enlarged"}
    assert trace.keys() == inside.keys()
    # The same contexts, and words drawn from the same distribution up to rounding.
    assert inside["embedding"] == pytest.approx(trace["embedding"] / 2, rel=1e-3)
    settings = [json.loads(row["settings"]) for row in rows if row["what"] == "hessian_trace_enlarged"]
    assert {entry["enlarge_to"] for entry in settings} == {"bert-2x16"}


def test_beside_it_stands_what_rescaling_alone_does_to_the_trace(finished):
    """Of the last checkpoint of every run."""
    rows = [row for row in results(finished) if row["what"] == "rescaled_trace" and "/" not in row["block"]]
    assert [(row["run"], row["step"], row["block"]) for row in rows] == [
        (name, "120", alpha) for name in ("fast-seed0", "slow-seed0") for alpha in ("0.5", "1", "2")
    ]
    assert len({row["value"] for row in rows}) == 6
    assert "so that no prediction changes" in (finished / "report.html").read_text()


def test_figures_and_comparison_are_written(finished):
    names = {path.name for path in (finished / "figures").iterdir()}
    assert {"paper-training.png", "paper-enlarged.pdf", "paper-table.md"} <= names
    assert {"published-study.md", "published-study.csv"} <= names
    assert yaml.safe_load((finished / "study.yaml").read_text())["name"] == "study"
    (row,) = csv.DictReader((finished / "figures" / "published-study.csv").open())
    accuracies = {
        row["run"]: float(row["value"])
        for row in results(finished)
        if row["method"] == "linear" and row["step"] == "120"
    }
    assert float(row["ours"]) == pytest.approx(accuracies["fast-seed0"] - accuracies["slow-seed0"])


def test_an_extension_takes_up_the_same_runs(finished, tmp_path, capsys):
    base = written(tmp_path, VARIED, "base.yaml")
    path = written(tmp_path, {"extends": base.name, "tasks": ["state-4", "state-2"], "form": ["flatness"]})
    before = {file: file.stat().st_mtime_ns for file in finished.glob("runs/*/checkpoints/*/*")}
    assert run(path, finished) == 0
    assert before == {file: file.stat().st_mtime_ns for file in finished.glob("runs/*/checkpoints/*/*")}
    assert {row["task"] for row in results(finished) if row["what"] == "probe"} == {"state-4", "state-2"}
    assert (finished / "figures" / "paper-flatness.png").is_file()


@pytest.mark.slow
def test_studies_in_one_directory_keep_their_comparisons_and_show_their_own_runs(finished, tmp_path, capsys):
    """The second one has one of the first one's models, and its numbers are of that alone."""
    out = Path(shutil.copytree(finished, tmp_path / "out"))
    entry = VARIED["published"][0] | {"minus": None}
    models = {"fast": VARIED["models"]["fast"]}
    path = written(tmp_path, VARIED | {"models": models, "published": [entry]}, "other.yaml")
    assert run(path, out) == 0
    assert {path.name for path in (out / "figures").glob("published*.md")} == {
        "published-study.md",
        "published-other.md",
    }
    for name, form in (("paper-table", "table"), ("paper-enlarged", "enlarged"), ("paper-training", "training")):
        names = {row["name"] for row in csv.DictReader((out / "figures" / f"{name}.csv").open())}
        assert (form, names - {"look-up table"}) == (form, {"fast"})
    data = json.loads(re.search(r'id="data">(.*?)</script>', (out / "report.html").read_text())[1])
    assert [(row["study"], row["n"]) for row in data["published"]] == [("other", 1), ("study", 1)]
    assert {"figures/published-study.md", "figures/published-other.md"} <= {file["name"] for file in data["files"]}
    # A study.yaml of a version that knew no names.
    old = {key: value for key, value in yaml.safe_load((out / "study.yaml").read_text()).items() if key != "name"}
    (out / "study.yaml").write_text(yaml.safe_dump(old))
    assert load_study(str(out / "study.yaml")).name == "study"


def test_an_extension_changes_single_keys(tmp_path):
    written(tmp_path, VARIED, "base.yaml")
    path = written(tmp_path, {"extends": "base.yaml", "train": {"lr": 0.5}, "models": {"bert-1x8": {}}})
    study, base = load_study(str(path)), load_study(str(tmp_path / "base.yaml"))
    assert (study.train.lr, study.train.steps) == (0.5, base.train.steps)
    assert list(study.models) == ["bert-1x8"]
    assert study.enlarge_to == base.enlarge_to
    other = load_study(str(written(tmp_path, {"extends": "smoke"}, "other.yaml")))
    assert other == replace(load_study("smoke"), name="other")


def test_a_study_has_the_name_of_its_file_unless_it_gives_one(tmp_path):
    named = written(tmp_path, VARIED | {"name": "Mine 2"}, "base.yaml")
    assert load_study(str(named)).name == "Mine 2"
    assert load_study(str(written(tmp_path, {"extends": "base.yaml"}, "more.yaml"))).name == "more"
    assert load_study("figure-2-small").name == "figure-2-small"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"extends": "study.yaml"}, "extends itself"),
        ({"extends": "smok"}, "unknown study 'smok': did you mean 'smoke'?"),
        ({"extends": "none.yaml"}, "no such file"),
        ({"extends": "base.yaml", "lr": 1}, "unknown key 'lr'"),
        ({"extends": "base.yaml", "train": {"lrr": 1}}, "unknown key 'lrr'"),
        ({"extends": "base.yaml", "enlarge_to": "bert-2x20"}, "width 20 is not a multiple of 8"),
        (
            {"extends": "base.yaml", "published": [], "models": {"../a": {"model": "bert-1x8"}}},
            "model ../a: expected a name of letters",
        ),
        (
            {"extends": "base.yaml", "published": [], "models": {"a": {"model": "bret-1x8"}}, "enlarge_to": None},
            "did you mean 'bert'",
        ),
        ({"extends": "base.yaml", "form": ["tabel"]}, "unknown form 'tabel': did you mean 'table'?"),
        ({"extends": "base.yaml", "published": [{"quantity": "loss"}]}, "published 1"),
        (
            {"extends": "base.yaml", "published": [VARIED["published"][0] | {"value": math.nan}]},
            "value is nan, expected",
        ),
        ({"extends": "base.yaml", "seeds": [0, -1]}, "seeds are [0, -1], expected none below 0; correct them"),
        ({"extends": "base.yaml", "probe": {"seed": -1}}, "probe seed is -1, expected at least 0"),
        ({"extends": "base.yaml", "flatness": {"seed": -1}}, "seed is -1, expected at least 0"),
        ({"extends": "base.yaml", "evaluate": {"seed": -1}}, "seed is -1, expected at least 0"),
        ({"extends": "base.yaml", "name": "../x"}, "name is '../x', expected the beginning of a file's name"),
    ],
)
def test_wrong_studies_write_nothing(tmp_path, refused, changes, said):
    written(tmp_path, VARIED, "base.yaml")
    refused(["study", written(tmp_path, changes), "--out", tmp_path / "out", "--workers", 1], said)


GRIDS = [path for path in sorted(STUDIES.glob("*.yaml")) if load_experiment(path.stem) is None]


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_study_that_ships_can_be_begun(path, tmp_path):
    study = load_study(path.stem)
    check_forms(study.form)
    read_published(study.published, study.models, study.tasks, study.enlarge_to)
    grid = check_study(study, tmp_path / "out")
    assert [how[2] for _, how in grid] == [model_of(study, name) for name in study.models for _ in study.seeds]


def test_every_published_result_asks_a_question_of_its_own():
    paths = [path for path in STUDIES.glob("*.yaml") if path.stem.startswith(("figure-", "table-"))]
    questions = [load_study(path.stem).question for path in paths]
    assert len(set(questions)) == len(paths) > 15
    assert all(question.endswith("?") and question.count("?") == 1 for question in questions)


def test_table_2_names_no_task():
    for name in ("table-2", "table-2-small"):
        assert all("task not named" in entry["source"] for entry in load_study(name).published if "A" in entry.values())
    values = {entry["value"]: entry.get("stderr") for entry in load_study("table-2").published}
    assert (values[0.557], values[0.502]) == (0.006, 0.010)


def test_a_result_has_a_study_of_its_own_in_two_sizes():
    names = {path.stem for path in STUDIES.glob("*.yaml")}
    for result in ("figure-1", "figure-2", "figure-3", "figure-5", "figure-10", "figure-11", "table-1", "table-2"):
        assert {result, f"{result}-small"} <= names


def test_wide_rows_of_a_study(finished):
    wide = wide_rows(runs_in([finished]), rows_in([finished]))
    assert {row["name"] for row in wide} == {"slow", "fast"}
    assert all("enlarged" in row and "trace" in row and "accuracy state-4" in row for row in wide)
