"""A series of languages: its studies, what they say together, and a small one from end to end."""

import csv
import json
import math

import pytest
import yaml
from support.commands import check_one_line, listing, said_by
from support.studies import STUDY, lines, timeless

from satlab.errors import InputError
from satlab.lab.analysis.series import Cell, summary
from satlab.lab.figures.series import check_curves
from satlab.lab.reading import from_mapping
from satlab.lab.studies.config import StudyConfig, load_study
from satlab.lab.studies.series import members_of
from satlab.lab.studies.study import language_of

SERIES = {
    "question": "What is lost?",
    "language": {"family": "wei2021-hmm", "states": 2, "words": 4, "length": 6, "task_words": 3},
    "vary": {"states": [2, 3], "seed": [0, 1]},
    "models": {"bert-1x8": {}},
    "tasks": ["posterior"],
    "train": STUDY["train"] | {"steps": 6, "checkpoints": [6], "evaluate_every": 3},
    "evaluate": {"sentences": 40},
    "measure": ["kl", "probe"],
    "probe": {
        "method": ["head", "head-adamw", "prompt"],
        "prompt": 2,
        "train_sentences": 40,
        "test_sentences": 30,
        "seeds": 1,
        "epochs": 2,
    },
    "curves": [{"name": "prompt", "probe": "prompt", "x": [2, 3], "y": [1.0, 0.9], "source": "a figure"}],
}


def series(**changes):
    return from_mapping(StudyConfig, SERIES | changes)


def test_every_combination_is_a_study_of_its_own():
    members = members_of(series())
    assert [one.name for one in members] == [
        *("states-2-seed-0", "states-3-seed-0", "states-2-seed-1", "states-3-seed-1")
    ]
    assert members[1].study.language == SERIES["language"] | {"states": 3, "seed": 0}
    assert members[1].study.vary == {}
    assert language_of(members[1].study).num_states == 3
    named = members_of(series(language="wei2021-hmm", vary={"seed": [4]}))
    assert named[0].study.language == {"preset": "wei2021-hmm", "seed": 4}


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"vary": {"seed": []}}, "seed is \\[\\], expected a list of different values"),
        ({"vary": {"seed": 3}}, "seed is 3, expected a list"),
        ({"vary": {"seed": [1, 1]}}, "different values"),
        ({"language": {"file": "a.npz"}}, "expected a preset or keys of a family"),
    ],
)
def test_what_cannot_be_varied(changes, match):
    with pytest.raises(InputError, match=match):
        members_of(series(**changes))


@pytest.mark.parametrize(
    ("curve", "match"),
    [
        ("line", "is 'line', expected a mapping"),
        ({"name": "a", "x": [1], "y": [1, 2], "source": "b"}, "different lengths"),
        ({"name": "a", "x": [1], "y": [1], "source": "b", "hihg": [1]}, "did you mean 'high'"),
        ({"name": "a", "x": [1], "y": [1]}, "source missing"),
    ],
)
def test_curves_that_cannot_be(curve, match):
    with pytest.raises(InputError, match=match):
        check_curves([curve], ["states"])
    with pytest.raises(InputError, match="curves need a series of languages"):
        check_curves([curve], [])


def probe_row(method, value, **more):
    settings = json.dumps({"method": more.pop("beside", method)})
    baseline = method in ("majority", "lookup", "bayes")
    row = {"what": "probe", "task": "posterior", "method": method, "value": value, "settings": settings}
    return row | {"model": None if baseline else "bert", "run": None if baseline else "r", "step": None, **more}


def cell(states, exact, model, trained, kl):
    rows = [probe_row("bayes", 1.0, beside="head"), probe_row("lookup", exact, beside="head")]
    rows += [probe_row("head", 0.1, step=5), probe_row("head", model, step=9, tv_posterior=[0.2, 0.4])]
    rows += [probe_row("head-adamw", trained, step=9)]
    rows += [{"what": "kl", "model": "bert", "run": "r", "step": 9, "value": kl, "method": "kl", "settings": "{}"}]
    return Cell({"states": states, "seed": 0}, rows)


def test_losses_add_up_and_means_are_over_chains():
    rows = summary([cell(8, 0.9, 0.8, 0.75, 0.01), cell(4, 1.0, 1.0, 1.0, 0.0), cell(8, 0.7, 0.7, 0.65, 0.03)])
    assert list(dict.fromkeys(row["at"] for row in rows)) == [4, 8]
    found = {row["quantity"]: row for row in rows if row["at"] == 8 and row["quantity"].startswith("lost")}
    values = {name: row["value"] for name, row in found.items()}
    assert values["lost to words"] == pytest.approx((0.1 + 0.3) / 2)
    assert values["lost to model"] == pytest.approx((0.1 + 0.0) / 2)
    assert values["lost to optimiser"] == pytest.approx(0.05)
    assert values["lost in all"] == pytest.approx(
        sum(values[f"lost to {name}"] for name in ("words", "model", "optimiser"))
    )
    assert found["lost to words"]["stderr"] == pytest.approx(0.1)
    assert found["lost to words"]["n"] == 2
    at_eight = {(row["whose"], row["quantity"], row["probe"]): row["value"] for row in rows if row["at"] == 8}
    assert at_eight["bert", "kl", None] == pytest.approx(0.02)
    assert at_eight["bert", "tv_posterior", "head"] == pytest.approx(0.3)
    assert at_eight["bert", "accuracy", "head"] == pytest.approx(0.75)
    assert at_eight["lookup", "accuracy", "head"] == pytest.approx(0.8)
    assert math.isnan(next(row["stderr"] for row in rows if row["at"] == 4))


def test_several_trainings_of_a_model_are_averaged():
    """Of one chain: its number is their mean. A chain counts once, and a row measured again replaces the first."""
    one, other = cell(8, 0.9, 0.8, 0.75, 0.01), cell(8, 0.9, 0.6, 0.55, 0.03)
    second = [row | {"run": "s"} for row in other.rows if row["run"]]
    stale = [probe_row("head", 0.2, step=9, run="s")]
    rows = summary([Cell(one.values, [*one.rows, *stale, *second]), cell(8, 1.0, 1.0, 1.0, 0.0)])
    found = {(row["whose"], row["quantity"], row["probe"]): row for row in rows}
    assert found["bert", "accuracy", "head"]["value"] == pytest.approx((0.7 + 1.0) / 2)
    assert found["bert", "accuracy", "head"]["n"] == 2
    assert found["bert", "kl", None]["value"] == pytest.approx(0.01)
    assert found["bert", "lost to model", "head-adamw"]["value"] == pytest.approx((0.2 + 0.0) / 2)


def test_a_series_from_end_to_end(tmp_path, capsys):
    file, out = tmp_path / "series.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(SERIES | {"vary": {"states": [2, 3]}}))
    words = ["study", file, "--out", out, "--workers", "1"]
    said = json.loads(said_by(capsys, words).out.splitlines()[-1])
    assert sorted(path.rsplit(".")[-1] for path in said["figures"]) == ["csv", "csv", "pdf", "png"]
    with (out / "figures" / "series.csv").open() as table:
        rows = list(csv.DictReader(table))
    found = {(row["at"], row["whose"], row["quantity"], row["probe"]) for row in rows}
    for at in ("2", "3"):
        assert {(at, "lookup", "accuracy", "prompt"), (at, "bert-1x8", "accuracy", "prompt")} <= found
        assert {(at, "bert-1x8", "lost to model", "head-adamw"), (at, "bert-1x8", "kl", "")} <= found
    with (out / "figures" / "series-cells.csv").open() as table:
        assert {row["states"] for row in csv.DictReader(table)} == {"2", "3"}
    run = out / "states-2" / "runs" / "bert-1x8-seed0"
    measured = lines(run / "results.jsonl")
    assert {row["what"] for row in measured} == {"kl", "probe"}
    before = timeless(measured)
    said_by(capsys, words)
    assert timeless(lines(run / "results.jsonl")) == before
    assert load_study(str(out / "states-2" / "study.yaml")).language["states"] == 2


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"probe": SERIES["probe"] | {"prompt": 5}}, "give prompt at most 4"),
        ({"models": {"gpt-1x8": {}}}, "reads from left to right"),
        ({"tasks": ["state-1"]}, "not a function of a posterior"),
        ({"vary": {"states": [2, 0]}}, "at least 2 states"),
        ({"curves": [3]}, "curve 1"),
        ({"measure": ["accuracy"]}, "unknown measure 'accuracy'"),
    ],
)
def test_what_a_series_refuses_before_it_writes(changes, fragment, tmp_path, capsys):
    file, out = tmp_path / "series.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(SERIES | changes))
    before = listing(tmp_path)
    check_one_line(said_by(capsys, ["study", file, "--out", out], status=2), fragment)
    assert listing(tmp_path) == before


@pytest.mark.slow
def test_a_series_cell_by_cell_is_the_series(tmp_path, capsys):
    file, out = tmp_path / "series.yaml", tmp_path / "out"
    file.write_text(yaml.safe_dump(SERIES | {"vary": {"states": [2, 3]}}))
    words = ["study", file, "--out", out]
    cells = [json.loads(line) for line in said_by(capsys, [*words, "--cells"]).out.splitlines()]
    assert [(cell["cell"], cell["of"], cell["directory"]) for cell in cells] == [
        *((0, 4, "states-2"), (1, 4, "states-2"), (2, 4, "states-3"), (3, 4, "states-3"))
    ]
    assert not out.exists()
    check_one_line(said_by(capsys, [*words, "--cell", "4"], status=2), "cell 4: expected 0 to 3")
    assert not out.exists()
    for cell in reversed(cells):
        assert json.loads(said_by(capsys, [*words, "--cell", str(cell["cell"])]).out) == {"study": str(out)} | cell
    measured = lines(out / "states-3" / "runs" / "bert-1x8-seed0" / "results.jsonl")
    assert {row["what"] for row in measured} == {"kl", "probe"}
    said_by(capsys, [*words, "--workers", "1"])
    assert timeless(lines(out / "states-3" / "runs" / "bert-1x8-seed0" / "results.jsonl")) == timeless(measured)
    assert (out / "figures" / "series.csv").is_file()


def test_a_series_does_not_overwrite_something_else(tmp_path, capsys):
    file, other = tmp_path / "series.yaml", tmp_path / "other"
    file.write_text(yaml.safe_dump(SERIES))
    other.mkdir()
    (other / "note").touch()
    check_one_line(said_by(capsys, ["study", file, "--out", other], status=2), "holds something else")


def test_the_shipped_series_can_be_read():
    study = load_study("wei2021-figure-2-small")
    assert len(members_of(study)) == len(study.vary["states"]) * len(study.vary["seed"])
    assert len(check_curves(study.curves, list(study.vary))) == 2
