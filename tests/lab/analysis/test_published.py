"""One row a checkpoint, our numbers beside published ones, figures in a paper's form: from rows written by hand."""

import csv
import math

import matplotlib.pyplot as plt
import pytest
from support.published_rows import MODELS, TASKS, entry, measured, row, run, with_adamw

from satlab.errors import InputError
from satlab.estimate import Estimate
from satlab.lab.analysis.model_table import between_seeds, last_of_each, over_seeds, wide_rows
from satlab.lab.analysis.published import compare, read_published, write_comparison
from satlab.lab.figures import paper
from satlab.lab.figures.paper import FORMS, check_forms, draw_forms

BOTH = math.hypot(0.005, 0.001)
"""The error of accuracies over two seeds and of the measurement."""


@pytest.fixture
def found(tmp_path):
    runs, rows = measured(tmp_path)
    return wide_rows(runs, rows), rows


def test_a_checkpoint_has_one_row(found):
    wide, _ = found
    assert [(r["run"], r["step"]) for r in wide[:4]] == [("plain-seed0", s) for s in (10, 20, 40)] + [
        ("plain-seed1", 10)
    ]
    last = wide[2]
    assert (last["name"], last["seed"], last["model"], last["parameters"]) == ("plain", 0, "bert-1x8", 100)
    assert last["kl"] == Estimate(0.0075, 0.001, 50)
    assert last["floor"] == Estimate(2.5, 0.004, 50)
    assert last["loss"].stderr == pytest.approx(math.sqrt(0.001**2 + 0.004**2))
    assert last["loss"].value == pytest.approx(2.5075)
    assert last["accuracy B"].value == pytest.approx(1.0)
    assert (last["trace"].value, last["trace norm"].value, last["enlarged"].value) == (20, 5, 10)
    assert last["since_saturation"] == 20
    assert [r["saturated"] for r in wide] == [False, True, True] * 3 + [False] * 3


def test_the_mean_over_seeds_has_their_spread_and_the_error_that_they_share(found):
    last = [r for r in last_of_each(found[0]) if r["name"] == "plain"]
    mean = over_seeds(last, "accuracy A")
    assert mean.value == pytest.approx(0.905)
    assert mean.stderr == pytest.approx(math.hypot(0.005, 0.001))
    assert mean.n == 2
    assert between_seeds(last, "accuracy A").stderr == pytest.approx(0.005)
    assert over_seeds(last[:1], "accuracy A") == last[0]["accuracy A"]
    assert over_seeds(last, "accuracy C") is None


@pytest.mark.parametrize(
    ("changes", "ours", "stderr", "n", "saturated"),
    [
        ({}, 0.905, BOTH, 2, True),
        ({"model": "spoilt"}, 0.705, BOTH, 2, False),
        ({"minus": "spoilt"}, 0.2, 0.005 * math.sqrt(2), 2, False),
        ({"minus": "lookup"}, 0.205, math.hypot(BOTH, 0.01), 2, True),
        ({"model": "bayes", "minus": "lookup"}, 0.1, 0.01 * math.sqrt(2), None, True),
        ({"minus": "saturation"}, 0.2, 0.0, 2, True),
        ({"model": "spoilt", "minus": "saturation"}, 0.2, 0.001 * math.sqrt(2), 1, False),
        ({"model": "lookup"}, 0.7, 0.01, None, True),
        ({"quantity": "trace", "task": None}, 20, 0.001, 2, True),
        ({"quantity": "enlarged", "task": None, "model": "spoilt"}, 10, 0.001, 2, False),
        ({"quantity": "loss", "task": None}, 2.5075, math.hypot(0.001, 0.004), 2, True),
        ({"quantity": "kl", "task": None, "model": "spoilt"}, 0.25375, math.hypot(0.24625, 0.001), 2, False),
        ({"quantity": "loss", "task": None, "model": "lookup"}, 2.5, 0.004, None, True),
        ({"quantity": "kl", "task": None, "model": "lookup"}, 0.0, 0.0, None, True),
        ({"quantity": "loss", "task": None, "model": "lookup", "minus": "plain"}, -0.0075, 0.001, 2, True),
    ],
)
def test_ours_stands_beside_the_published_number(found, changes, ours, stderr, n, saturated):
    (row,) = compare(read_published([entry(**changes)], MODELS, TASKS, "bert-2x16"), *found)
    assert row["ours"] == pytest.approx(ours)
    assert row["ours_stderr"] == pytest.approx(stderr, abs=1e-12)
    assert row["n"] == n
    assert row["difference"] == pytest.approx(ours - 0.9)
    assert row["saturated"] is saturated


def test_what_was_not_measured_is_said(found, tmp_path):
    items = read_published([entry(model="majority"), entry(stderr=0.02)], MODELS, TASKS)
    rows = compare(items, *found)
    assert (rows[0]["ours"], rows[0]["difference"], rows[0]["n"]) == (None, None, 0)
    write_comparison(rows, tmp_path, "figure-9")
    text = (tmp_path / "published-figure-9.md").read_text()
    assert "| ours | ours - published |" in text
    assert "| Table 1 | accuracy A, majority | 0.9 | not measured |  |  | yes |" in text
    assert "| Table 1 | accuracy A, plain | 0.9 +- 0.02 | 0.905 +- 0.0051 (n = 2) | +0.005 | linear | yes |" in text
    assert "n: trainings that ours is a mean over" in text
    assert "different versions" not in text
    assert len(list(csv.DictReader((tmp_path / "published-figure-9.csv").open()))) == 2
    write_comparison([rows[1], rows[1] | {"satlab": "0.0.9"}], tmp_path, "mixed")
    assert "Measured by different versions of satlab: 0.0.9, unknown." in (tmp_path / "published-mixed.md").read_text()


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["0.9"], "published 1: is '0.9', expected a mapping"),
        ([entry(), entry(modle="plain")], "published 2: unknown key 'modle': did you mean 'model'?"),
        ([entry(model="plan")], "unknown model 'plan': did you mean 'plain'?"),
        ([entry(minus="spoit")], "unknown model 'spoit': did you mean 'spoilt'?"),
        ([entry(task="D")], "unknown task of this study 'D'"),
        ([entry(quantity="acuracy")], "unknown quantity 'acuracy': did you mean 'accuracy'?"),
        ([entry(value="high")], "value"),
        ([entry(value=math.nan)], "published 1: value is nan, expected a finite number; correct it"),
        ([entry(value=-math.inf)], "value is -inf, expected a finite number"),
        ([entry(stderr=math.nan)], "stderr is nan, expected a finite number from 0"),
        ([entry(stderr=-0.1)], "stderr is -0.1, expected a finite number from 0"),
        (
            [entry(quantity="trace", task=None, model="lookup")],
            "trace, lookup: lookup has no trace, expected its accuracy",
        ),
        ([entry(quantity="loss", task=None, model="bayes")], "bayes has no loss, expected its accuracy or a model"),
        ([entry(model="lookup", minus="saturation")], "lookup is not trained, expected a model of the study"),
        ([entry(quantity="enlarged", task=None)], "the study gives no enlarge_to, expected one; give it or remove"),
    ],
)
def test_wrong_entries(entries, said):
    with pytest.raises(InputError) as error:
        read_published(entries, MODELS, TASKS)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_accuracy_is_by_the_published_probe_where_it_was_measured(tmp_path):
    runs, rows = measured(tmp_path)
    entries = [entry(source="a|b\nc"), entry(model="lookup"), entry(model="spoilt"), entry(minus="spoilt")]
    rows = with_adamw(rows, ("plain",))
    found = compare(read_published(entries, MODELS, TASKS), wide_rows(runs, rows), rows)
    assert [(row["method"], row["settings"]) for row in found] == [
        *[("linear-adamw", '{"epochs": 3}')] * 2,
        *[("linear", "{}")] * 2,
    ]
    assert [row["ours"] for row in found] == pytest.approx([0.605, 0.4, 0.705, 0.2])
    write_comparison(found, tmp_path, "x")
    lines = (tmp_path / "published-x.md").read_text().splitlines()
    cells = "| accuracy A, plain | 0.9 | 0.605 +- 0.0051 (n = 2) | -0.295 | linear-adamw (epochs 3) | yes |"
    assert lines[2] == f"| a\\|b c {cells}"
    assert len(lines) == 8


@pytest.mark.slow
def test_every_probe_has_its_panels_and_columns(tmp_path):
    runs, rows = measured(tmp_path)
    rows = with_adamw(rows)
    draw_forms(list(FORMS), wide_rows(runs, rows), rows, TASKS, tmp_path / "out")
    table = (tmp_path / "out" / "paper-table.md").read_text()
    heads = "loss | kl | accuracy A | accuracy A linear-adamw | accuracy B | accuracy B linear-adamw | trace"
    assert table.startswith(f"| | {heads} | saturated |")
    assert "| look-up table | 2.5 +- 0.004 (n = 50) | 0 | 0.7 +- 0.01 (n = 3) | 0.4 +- 0.01 (n = 3) |" in table
    assert "trace: sampled-gradient" in table
    numbers = list(csv.DictReader((tmp_path / "out" / "paper-training.csv").open()))
    panels = {(r["quantity"], r["method"], r["settings"]) for r in numbers if r["quantity"].startswith("accuracy A")}
    assert panels == {("accuracy A", "linear", "{}"), ("accuracy A linear-adamw", "linear-adamw", '{"epochs": 3}')}


@pytest.mark.parametrize("form", ["training", "sizes", "flatness", "enlarged"])
def test_a_form_says_what_hollow_marks_are(found, form, monkeypatch):
    """Where there are any: of the first model alone, whose last checkpoints are all saturated, only among its steps."""
    wide, rows = found
    said = []
    monkeypatch.setattr(paper, "write_below", lambda figure, lines: said.append(lines))
    figure, _ = FORMS[form](wide, rows, TASKS)
    assert said[-1][0] == "Hollow: not saturated."
    labels = [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    if form != "sizes":
        assert {"plain", "spoilt (not saturated)"} <= set(labels)
    plain = [row for row in wide if row["name"] == "plain" and row["saturated"]]
    FORMS[form](plain, rows, TASKS)
    assert "Hollow: not saturated." not in said[-1]
    plt.close("all")


def test_every_form_is_drawn_with_its_numbers(found, tmp_path):
    wide, rows = found
    written = draw_forms(list(FORMS), wide, rows, TASKS, tmp_path)
    assert all(path.stat().st_size > 500 or path.suffix in (".md", ".csv") for path in written)
    for form in FORMS:
        assert (tmp_path / f"paper-{form}.csv").is_file()
        assert (tmp_path / f"paper-{form}.{'md' if form == 'table' else 'png'}").is_file()
    numbers = list(csv.DictReader((tmp_path / "paper-flatness.csv").open()))
    traces = [r for r in numbers if r["quantity"] == "trace" and r["name"] == "plain"]
    assert [(int(r["at"]), float(r["value"]), r["n"]) for r in traces] == [(10, 80, "2"), (20, 40, "2"), (40, 20, "2")]
    inside = list(csv.DictReader((tmp_path / "paper-enlarged.csv").open()))
    assert {r["kind"] for r in inside} == {"enlarged", "enlarged norm", "enlarged weight"}
    assert len(inside) == len(TASKS) * 3 * len(MODELS)
    table = (tmp_path / "paper-table.md").read_text()
    assert "| spoilt | 2.754 +- 0.25 (n = 2) |" in table
    assert "| look-up table | 2.5 +- 0.004 (n = 50) | 0 | 0.7 +- 0.01 (n = 3) |" in table
    assert table.count("| no |") == 1


def test_nothing_measured_draws_nothing(tmp_path):
    one = run("plain", 0, tmp_path)
    wide = wide_rows([one], [row(one, 10, "kl", 0.1)])
    assert draw_forms(["enlarged"], wide, [], TASKS, tmp_path) == []


def test_forms_have_names():
    with pytest.raises(InputError, match="unknown form 'trainng': did you mean 'training'"):
        check_forms(["trainng"])
    with pytest.raises(InputError, match="expected each once"):
        check_forms(["table", "table"])
