"""Which rows are shown: one method and setting of each kind, the largest that covers all; every probe by itself."""

import csv
import json

import pytest
from support.recorded import STEPS, make_run, result, results

from satlab.errors import InputError
from satlab.lab.analysis.results import rows_in
from satlab.lab.analysis.row_selection import described, left_out, one_setting, panel_of
from satlab.lab.figures import draw as figures
from satlab.lab.measurements.flatness import measure_flatness
from satlab.lab.measurements.flatness_config import FlatnessConfig
from satlab.lab.measurements.kl import EvaluateConfig, measure_kl
from satlab.lab.measurements.result_cache import known_rows
from satlab.lab.runs.run import load_run


def trace(step, value, method="sampled-gradient", run="r", **settings):
    row = result("bert-1x8", step, "hessian_trace", value, method=method, block="total")
    return row | {"run": run, "settings": json.dumps(settings)}


def probe(method, value, step=10, task="A", **settings):
    row = result("bert-1x8", step, "probe", value, method=method, task=task)
    return row | {"run": None if step is None else "r", "settings": json.dumps(settings)}


def values(rows):
    return [row["value"] for row in one_setting(rows)]


GOOD = [trace(step, step, contexts=2000, draws=1) for step in STEPS]
GOOD_VALUES = list(STEPS)


@pytest.mark.parametrize(
    "other",
    [
        [trace(step, 0, "hutchinson", contexts=50, probes=10) for step in STEPS],
        [trace(step, 0, contexts=50, draws=100) for step in STEPS],
        [trace(step, 0, "hutchinson", contexts=2000, probes=2000) for step in STEPS],
        [trace(10, 0, contexts=9000, draws=1)],
        [trace(step, 0, "by-parts", contexts=2000, draws=5, probes=9) for step in STEPS],
    ],
    ids=["quick", "fewer contexts", "of the Hessian", "fewer checkpoints", "by parts"],
)
def test_a_smaller_look_never_replaces_a_larger_one(other):
    assert values(GOOD + other) == values(other + GOOD) == GOOD_VALUES
    assert left_out(GOOD + other) == len(other)


@pytest.mark.parametrize(
    "other",
    [
        [trace(step, -step, "hutchinson", contexts=3000, probes=10) for step in STEPS],
        [trace(step, -step, contexts=2000, draws=5) for step in STEPS],
        [trace(step, -step, "hutchinson", contexts=9, probes=2) for step in (*STEPS, 80)],
    ],
    ids=["more contexts", "more draws", "more checkpoints"],
)
def test_a_larger_one_replaces_it(other):
    assert values(GOOD + other) == values(other + GOOD) == [row["value"] for row in other]


def test_of_two_as_good_the_latest():
    other = [row | {"value": -1, "settings": json.dumps({"contexts": 2000, "draws": 1, "seed": 3})} for row in GOOD]
    assert values(GOOD + other) == [-1, -1, -1]
    assert values(other + GOOD) == GOOD_VALUES


def test_settings_that_a_method_does_not_use_make_no_other_measurement():
    old = [trace(step, step, contexts=2000, draws=1, eigenvalues=5, targets="sampled") for step in STEPS[:2]]
    again = trace(20, 20, contexts=2000, draws=1, eigenvalues=6)
    new = trace(40, 40, contexts=2000, draws=1)
    assert values([*old, again, new]) == [10, 20, 40]
    assert left_out([*old, again, new]) == 0


def test_of_probes_the_most_test_sentences_in_all_then_training_sentences():
    many = probe("linear", 1, seeds=5, test_sentences=100, train_sentences=10)
    few = probe("linear", 2, seeds=2, test_sentences=200, train_sentences=900)
    more = probe("linear", 3, seeds=5, test_sentences=100, train_sentences=20)
    assert values([few, many]) == values([many, few]) == [1]
    assert values([more, few, many]) == [3]


def test_every_probe_has_a_panel_with_the_baselines_of_its_own_settings():
    sizes = {"seed": 0, "seeds": 2, "test_sentences": 9, "train_sentences": 9}
    convex, adamw = sizes | {"l2": 1.0}, sizes | {"lr": 0.1, "epochs": 2}
    rows = [probe("lookup", 0.6, None, **convex), probe("lookup", 0.5, None, **adamw)]
    rows.append(probe("lookup", 0.4, None, **adamw | {"projection": 5}))
    rows += [probe("linear", 0.3, **convex), probe("linear-adamw", 0.2, **adamw)]
    rows.append(probe("fine-tune", 0.1, **adamw | {"warmup_steps": 3}))
    found = {(panel_of(row), row["method"]): row["value"] for row in one_setting(rows)}
    assert found == {
        ("A", "linear"): 0.3,
        ("A", "lookup"): 0.6,
        ("A linear-adamw", "linear-adamw"): 0.2,
        ("A linear-adamw", "lookup"): 0.5,
        ("A fine-tune", "fine-tune"): 0.1,
        ("A fine-tune", "lookup"): 0.6,
    }
    assert left_out(rows) == 1
    alone = one_setting(rows[:2])
    assert [(panel_of(row), row["value"]) for row in alone] == [("A", 0.5)]


def test_a_setting_in_words():
    settings = '{"contexts": 50, "draws": 1, "method": "hutchinson", "probes": 10, "radii": [1.0], "seed": 0}'
    assert described("hutchinson", settings) == "hutchinson (contexts 50, probes 10, seed 0)"
    assert described("linear", "{}") == "linear"


def test_every_probe_has_figures_that_say_how(tmp_path, monkeypatch):
    said = {}
    draw = figures.write_below
    monkeypatch.setattr(
        figures, "write_below", lambda figure, lines: (said.update(dict.fromkeys(lines)), draw(figure, lines))
    )
    rows = [row for row in results("bert-1x8") if row["method"] != "linear"]
    rows += [row | {"method": "linear-adamw"} for row in results("bert-1x8") if row["method"] == "linear"]
    rows += [row | {"method": "fine-tune", "value": 0.1} for row in results("bert-1x8") if row["method"] == "linear"]
    rows += [
        result("bert-1x8", 40, "rescaled_trace", value, method="invariance", block=block)
        for block, value in (("0.5", 900.0), ("0.5/norm", 1.0), ("1", 300.0))
    ]
    written = figures.draw([make_run(tmp_path / "r", rows=rows)], tmp_path / "f")
    ends = ("state-4-fine-tune", "state-4-linear-adamw")
    assert {path.stem for path in written} == {
        "correlation",
        "kl_vs_step",
        *(f"{kind}-{end}" for kind in ("probe_vs_step", "flatness_vs_accuracy") for end in ends),
    }
    assert any(line.endswith(" Accuracy by fine-tune.") for line in said)
    assert "Tr(H) by sampled-gradient; accuracy by linear-adamw." in said
    assert [line for line in said if "Tr(H) changes by a factor of 3 (rescaling by 0.5, 1 at step 40 of r)" in line]
    (row, *_) = csv.DictReader((tmp_path / "f" / "flatness_vs_accuracy-state-4-fine-tune.csv").open())
    assert (row["method"], row["settings"], row["trace_method"]) == ("fine-tune", "{}", "sampled-gradient")
    correlations = list(csv.DictReader((tmp_path / "f" / "correlation.csv").open()))
    assert {(row["probe"], row["estimator"]) for row in correlations} == {
        ("fine-tune", "sampled-gradient"),
        ("linear-adamw", "sampled-gradient"),
    }


# ---- what is measured


def test_older_rows_with_all_settings_are_known(tmp_path):
    old = {"contexts": 7, "draws": 1, "eigenvalues": 5, "iterations": 60, "method": "sampled-gradient", "probes": 100}
    old |= {"radii": [0.05, 0.5], "scales": [0.5], "seed": 0, "targets": "sampled"}
    rows = [trace(10, 1.0) | {"settings": json.dumps(old), "l2": [1.0]}, result(None, 10, "other", 0.1, method="x")]
    rows.append({})
    file = tmp_path / "results.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    key = {"what": "hessian_trace", "method": "sampled-gradient", "step": 10}
    assert known_rows(file, key | {"settings": json.dumps(old | {"eigenvalues": 6, "targets": "exact"})}) == rows[:1]
    assert known_rows(file, key | {"settings": json.dumps(old | {"draws": 2})}) == []
    assert known_rows(file, key | {"settings": json.dumps(old), "step": 20}) == []


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from satlab.lab.cli import main as cli

    folder = tmp_path_factory.mktemp("choice") / "run"
    line = f"train demo-hmm --model bert-1x8 --steps 3 --batch_size 8 --evaluation_sentences 20 --out {folder}"
    assert cli.run(line.split()) == 0
    return load_run(folder)


def test_a_setting_at_its_default_measures_nothing_again(trained):
    first = list(measure_flatness(trained, FlatnessConfig(contexts=20)))
    assert json.loads(first[0]["settings"]) == {"method": "sampled-gradient", "contexts": 20, "draws": 1, "seed": 0}
    before = len(trained.results)
    assert list(measure_flatness(trained, FlatnessConfig(contexts=20, draws=1))) == first
    assert len(trained.results) == before
    assert list(measure_flatness(trained, FlatnessConfig(contexts=20, draws=2))) != first


@pytest.mark.parametrize("unused", [{"eigenvalues": 6}, {"targets": "exact"}, {"probes": 7}, {"radii": [1.0]}])
def test_a_setting_that_the_method_does_not_have_is_refused(unused):
    with pytest.raises(InputError, match="with method sampled-gradient, which has no such setting"):
        FlatnessConfig(contexts=20, **unused)


def test_a_row_of_kl_has_the_error_of_the_floor(trained):
    (row,) = measure_kl(trained, EvaluateConfig(sentences=50))
    assert 0 < row["floor_stderr"] < row["floor"]
    assert rows_in([trained.folder])[-1]["floor_stderr"] == row["floor_stderr"]


def test_baselines_of_another_language_are_left_out(tmp_path):
    lines = [row for row in results("bert-1x8") if row["step"] is None]
    mine = load_run(make_run(tmp_path / "r", rows=lines)).language.fingerprint()
    rows = [row | {"language_fingerprint": mine if i else "other"} for i, row in enumerate(lines)]
    make_run(tmp_path / "s", rows=rows)
    assert [row["method"] for row in rows_in([tmp_path / "r"])] == ["majority", "lookup", "bayes"]
    assert [row["method"] for row in rows_in([tmp_path / "s"])] == ["lookup", "bayes"]
