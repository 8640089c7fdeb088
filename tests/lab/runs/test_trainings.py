"""Copies, links and other spellings of a run are one training, in figures, tables, correlations and reports."""

import csv
import json
import os
import shutil

import pytest
import yaml
from support.hints import without_hint
from support.recorded import STEPS, make_run, metrics, result, results, write_lines

from satlab.lab.analysis.checkpoint_table import points_of, recorded
from satlab.lab.analysis.notices import notices_of
from satlab.lab.analysis.results import rows_in, runs_in
from satlab.lab.analysis.row_selection import one_setting
from satlab.lab.cli import main as cli
from satlab.lab.measurements import flatness, kl
from satlab.lab.runs.trainings import same_training
from satlab.models import build


@pytest.fixture(autouse=True)
def no_model(monkeypatch):
    def refuse(*_):
        raise AssertionError("a model was loaded")

    for module in (kl, flatness, build):
        monkeypatch.setattr(module, "load_model", refuse)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def same(run):
    return run


def spelled_otherwise(run):
    return run.parent / "." / "nothing" / ".." / run.name


def linked(run):
    link = run.parent / "link"
    link.symlink_to(run)
    return link


def copied(run):
    return shutil.copytree(run, run.parent / "copy")


def measured_elsewhere(run):
    copy = copied(run)
    more = result("bert-1x8", 40, "probe", 0.9, method="linear", task="state-2")
    write_lines(copy / "results.jsonl", [*results("bert-1x8")[:3], more])
    return copy


def stopped_before(run):
    copy = copied(run)
    write_lines(copy / "metrics.jsonl", rows_of(run / "metrics.jsonl")[:2])
    return copy


def at_another_speed(run):
    copy = copied(run)
    rows = [row | {"tokens_per_second": 1.5, "seconds": 9.0} for row in rows_of(run / "metrics.jsonl")]
    write_lines(copy / "metrics.jsonl", rows)
    return copy


def of_a_grammar_elsewhere(run):
    copy = copied(run)
    content = yaml.safe_load((copy / "config.yaml").read_text()) | {"language": "/elsewhere/g.npz"}
    content["train"]["sharding"] = "fsdp"
    (copy / "config.yaml").write_text(yaml.safe_dump(content))
    return copy


AGAIN = [
    *(same, spelled_otherwise, linked, copied, measured_elsewhere, stopped_before, at_another_speed),
    of_a_grammar_elsewhere,
]


@pytest.mark.parametrize("again", AGAIN)
def test_one_training_counts_once_and_a_line_says_so(again, tmp_path):
    run, other = make_run(tmp_path / "r"), make_run(tmp_path / "other", "lstm-1x8")
    (tmp_path / "nothing").mkdir()
    twin = again(run)
    for folders in ([run, other, twin], [twin, other, run]):
        runs, rows = recorded(folders)
        assert len(runs) == 2
        assert {len(run.metrics) for run in runs} == {3}
        assert sum("counted once" in said for said in notices_of(runs, rows)) == 1
        points = points_of(runs, one_setting(rows))
        assert sorted((point["model"], point["step"]) for point in points if point["task"] == "state-4") == [
            (model, step) for model in ("bert-1x8", "lstm-1x8") for step in STEPS
        ]


@pytest.mark.parametrize("again", [same, copied])
def test_figures_and_reports_say_so_too(again, tmp_path, capsys):
    run = make_run(tmp_path / "r", rows=[])
    folders = [str(run), str(again(run))]
    assert cli.run(["plot", *folders, "--out", str(tmp_path / "f")]) == 0
    with (tmp_path / "f" / "kl_vs_step.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 3
    assert capsys.readouterr().err.count("counted once") == 1
    assert cli.run(["report", *folders, "--out", str(tmp_path / "page.html")]) == 0
    assert capsys.readouterr().err.count("counted once") == 1


def test_measurements_on_a_copy_are_those_of_the_training(tmp_path):
    run = make_run(tmp_path / "r")
    twin = measured_elsewhere(run)
    rows = rows_in([run, twin])
    assert len(rows) == len(results("bert-1x8")) + 1
    assert {row["run"] for row in rows} == {"r", None}
    assert [row["value"] for row in rows if row.get("task") == "state-2"] == [0.9]


def test_a_study_beside_one_of_its_runs_counts_it_once(tmp_path, capsys):
    first = make_run(tmp_path / "s" / "runs" / "bert-1x8-seed0", rows=results("bert-1x8")[:1])
    make_run(tmp_path / "s" / "runs" / "lstm-1x8-seed0", "lstm-1x8", rows=[])
    (tmp_path / "s" / "study.yaml").write_text("language: demo-hmm\n")
    assert cli.run(["plot", str(tmp_path / "s"), str(first), "--out", str(tmp_path / "f")]) == 0
    assert without_hint(capsys.readouterr().err).count("\n") == 1
    assert len(runs_in([tmp_path / "s", first])) == 2
    assert len(rows_in([tmp_path / "s", tmp_path / "s" / ".", first])) == len(rows_in([tmp_path / "s"]))


def test_the_directory_one_stands_in_has_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(make_run(tmp_path / "r", rows=[]))
    assert cli.run(["plot", "."]) == 0
    with open("figures/kl_vs_step.csv") as file:
        assert {row["run"] for row in csv.DictReader(file)} == {"r"}


def test_rows_that_two_processes_left_twice_count_once(tmp_path):
    rows = results("bert-1x8")
    run = make_run(tmp_path / "r", rows=[*rows, rows[1] | {"seconds": 2.0}, rows[4] | {"seconds": 3.0}])
    assert len(rows_in([run])) == len(rows)


OTHER = {
    "another seed": lambda content: content["train"].update(seed=1),
    "another rate": lambda content: content["train"].update(lr=0.5),
    "another model": lambda content: content.update(model="bert-1x16"),
}


@pytest.mark.parametrize("change", OTHER)
def test_trainings_that_differ_are_several(tmp_path, change):
    run = make_run(tmp_path / "r")
    copy = copied(run)
    content = yaml.safe_load((copy / "config.yaml").read_text())
    OTHER[change](content)
    (copy / "config.yaml").write_text(yaml.safe_dump(content))
    assert len(runs_in([run, copy])) == 2


def test_the_same_settings_with_other_numbers_are_two_trainings(tmp_path):
    runs = runs_in([make_run(tmp_path / "a"), make_run(tmp_path / "b")])
    assert len(runs) == 2
    write_lines(tmp_path / "b" / "metrics.jsonl", [metrics(5, 0.4)])
    assert not same_training(*runs)


def test_weights_tell_where_metrics_are_gone(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b", tmp_path / "c"]
    for folder, seed in zip(folders, (0, 0, 1), strict=True):
        line = f"train demo-hmm --out {folder} --model bert-1x8 --steps 2 --batch_size 4 --evaluation_sentences 20"
        assert cli.run([*line.split(), "--seed", str(seed)]) == 0
        os.unlink(folder / "metrics.jsonl")
    assert [(run.folder, run.copies) for run in runs_in(folders)] == [(folders[0], (folders[1],)), (folders[2], ())]
