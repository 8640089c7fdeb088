"""`satlab table`: rows of what was recorded, and what they say at the same KL; no model is loaded."""

from dataclasses import replace

import pytest
from support.recorded import CONFIG, make_run, result, results

from satlab.lab.analysis.matched import COLUMNS

pytestmark = pytest.mark.usefixtures("no_model")


@pytest.fixture
def runs(printed, tmp_path):
    """Two runs of three checkpoints of the same KL, the first of which is the flatter and the better one."""
    make_run(tmp_path / "a", rows=[row | half(row) for row in results("bert-1x8")])
    make_run(tmp_path / "b", config=replace(CONFIG, seed=1))
    return printed


def half(row):
    """What makes a checkpoint half as sharp, and 0.05 more accurate."""
    changes = {"hessian_trace": {"value": row["value"] / 2}, "probe": {"value": row["value"] + 0.05}}
    return changes.get(row["what"], {}) if row["step"] else {}


def test_a_row_for_each_checkpoint_and_probe(runs):
    rows, err = runs("table a b")
    assert [(row["run"], row["step"]) for row in rows] == [(run, step) for run in "ab" for step in (10, 20, 40)]
    assert rows[2] == rows[2] | {"trace": 150.0, "accuracy": 0.75, "kl": 0.5 / 27, "algorithm": "adamw"}
    assert err == ""


def test_flatness_and_accuracy_at_the_same_kl(runs):
    rows, err = runs("table a b --matched")
    assert {tuple(row) for row in rows} == {COLUMNS}
    (share,) = [row for row in rows if row["statistic"] == "share" and row["among"] == "saturated"]
    assert (share["value"], share["pairs"], share["runs"], share["low"]) == (1.0, 1, 2, None)
    (gain,) = [row for row in rows if row["statistic"] == "gain" and row["among"] == "all checkpoints"]
    assert gain["value"] == pytest.approx(0.05)
    assert gain["note"] == "2 runs: fewer than 5 give no interval"
    assert err == ""


def test_the_pairs_and_their_settings(runs):
    pairs, _ = runs("table a b --pairs")
    assert [(row["flatter"], row["flatter_step"], row["sharper_step"]) for row in pairs] == [
        ("a", 10, 10),
        ("a", 40, 40),
    ]
    more, _ = runs("table a b --pairs --tolerance 1.2")
    assert {(row["flatter_step"], row["sharper_step"]) for row in more} >= {(10, 10), (20, 20), (40, 40), (20, 40)}
    assert all(row["z"] == 0.5 for row in runs("table a b --matched --z 0.5")[0])


def test_one_line_where_no_pair_agrees(printed, tmp_path):
    for name, factor in (("a", 1.0), ("b", 100.0)):
        rows = [row | {"value": row["value"] * factor} if row["what"] == "kl" else row for row in results("bert-1x8")]
        make_run(tmp_path / name, rows=rows)
    rows, err = printed("table a b --matched")
    assert {(row["pairs"], row["value"], row["note"]) for row in rows} == {(0, None, "no pair agrees in KL")}
    (line,) = [line for line in err.splitlines() if "not saturated" not in line]
    assert line.startswith(
        "satlab: warning: no two checkpoints of different runs agree in KL, so flatness and accuracy"
    )


@pytest.mark.parametrize("how", ["--matched", "--pairs"])
def test_a_single_run_has_no_pair_and_is_told_so(printed, tmp_path, how):
    make_run(tmp_path / "a")
    rows, err = printed(f"table a {how}")
    assert rows == []
    assert err.startswith("satlab: warning: no pairs, expected checkpoints of two different runs")
    assert err.count("\n") == 1


@pytest.mark.parametrize("how", ["", "--matched", "--pairs"])
def test_runs_without_measurements_are_told_so(printed, tmp_path, how):
    make_run(tmp_path / "a", rows=[])
    rows, err = printed(f"table a {how}")
    assert rows == []
    assert "nothing measured yet: satlab evaluate, probe and flatness measure" in err
    assert "no pairs" not in err


def test_runs_without_a_probe_are_told_so(printed, tmp_path):
    make_run(tmp_path / "a", rows=[result("bert-1x8", 10, "kl", 0.5, 0.1, method="exact-truth")])
    rows, err = printed("table a")
    assert rows == []
    assert "satlab: warning: no probe recorded, expected one at least" in err


def test_what_is_not_finite_is_null(printed, tmp_path):
    bad = [result("bert-1x8", 10, "probe", 0.5, None, method="linear", task="state-4")]
    make_run(tmp_path / "a", rows=bad)
    rows, _ = printed("table a")
    assert rows[0]["accuracy_stderr"] is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("table a --matched --pairs", "--matched together with --pairs"),
        ("table a --z 2", "--z needs --matched or --pairs"),
        ("table a --matched --z -1", "z is -1"),
        ("table a --matched --tolerance nan", "tolerance is"),
        ("table nowhere", "neither a run nor a study"),
    ],
)
def test_refused(refused, tmp_path, line, said):
    make_run(tmp_path / "a")
    refused(line, said)
