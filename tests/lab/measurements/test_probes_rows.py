"""Rows of `satlab probe`: methods, layers and positions, each taken once; bad input leaves the run as it was."""

import json

import pyarrow.parquet as pq
import pytest
from support.probed import FEW, GIVEN

from satlab.errors import InputError
from satlab.lab.analysis.checkpoint_table import points_of
from satlab.lab.analysis.results import named, rows_in, write_tables
from satlab.lab.analysis.row_selection import one_setting
from satlab.lab.cli import main as cli
from satlab.lab.measurements import kl
from satlab.lab.measurements.probe import measure_baselines, measure_probe
from satlab.lab.measurements.probe_config import ProbeConfig
from satlab.lab.reading import from_mapping
from satlab.lab.runs.run import load_run
from satlab.models import load_model
from satlab.probes import AdamW, FeatureChoice, FineTuning, Optimum, fine_tune, linear_probe

OLD = '{"l2": 0.0001, "seed": 0, "seeds": 2, "test_sentences": 50, "train_sentences": 60}'
"""What a row of the optimum says of its settings, and said before there were other methods."""


def measured(run, **settings):
    return list(measure_probe(run, "A", ProbeConfig(**FEW, **settings), 4))


def test_rows_of_the_optimum_are_what_they_were(run):
    (row,) = measured(run)
    assert (row["method"], row["settings"], row["n"]) == ("linear", OLD, 2)
    assert row.keys().isdisjoint({"layer", "position", "l2"})
    model, task = load_model(run.checkpoints[-1][1]), run.language.tasks["A"]
    expected = linear_probe(model, run.language, task, **FEW)
    assert (row["value"], row["stderr"]) == (expected.value, expected.stderr)


def test_each_method_has_its_row_and_its_settings(run):
    methods = ["fine-tune", "linear", "linear-adamw"]
    rows = measured(run, method=methods, l2=None, epochs=2, lr=1e-2)
    model, task = load_model(run.checkpoints[-1][1]), run.language.tasks["A"]
    expected = [
        fine_tune(model, run.language, task, **FEW, how=FineTuning(1e-2, 2)),
        linear_probe(model, run.language, task, **FEW, l2=None),
        linear_probe(model, run.language, task, **FEW, method=AdamW(1e-2, 2)),
    ]
    assert [row["method"] for row in rows] == methods
    assert [(row["value"], row["stderr"], row["n"]) for row in rows] == [(e.value, e.stderr, e.n) for e in expected]
    assert rows[1]["l2"] == list(expected[1].l2)
    assert [set(json.loads(row["settings"])) - {"seed", *FEW} for row in rows] == [
        {"batch_size", "epochs", "lr", "warmup_steps"},
        {"l2"},
        {"batch_size", "epochs", "lr"},
    ]


def test_every_layer_and_position_has_a_row(run):
    rows = measured(run, layer="all", position=2) + measured(run, layer=1, position="all")
    assert [(row["layer"], row["position"]) for row in rows] == [(i, 2) for i in range(3)] + [
        (1, j) for j in range(1, 9)
    ]
    model, task = load_model(run.checkpoints[-1][1]), run.language.tasks["A"]
    expected = linear_probe(model, run.language, task, **FEW, choice=FeatureChoice(1, 2))
    assert rows[1]["value"] == expected.value
    assert rows[1] == rows[4]
    assert json.loads(rows[1]["settings"]) == json.loads(OLD) | {"layer": 1, "position": 2}
    assert load_run(run.folder).results == rows[:4] + rows[5:]


def test_what_is_known_is_not_measured_again_and_what_is_missing_is(run, monkeypatch):
    (one,) = measured(run, layer=1)
    rows = measured(run, layer="all", method=["linear", "linear-adamw"], epochs=1)
    assert len(rows) == 6
    assert [(row["method"], row["layer"]) for row in rows] == [
        (m, i) for m in ("linear", "linear-adamw") for i in range(3)
    ]
    assert rows[1] == one
    assert len(load_run(run.folder).results) == 6
    monkeypatch.setattr(kl, "load_model", None)
    assert measured(run, layer="all", method=["linear", "linear-adamw"], epochs=1) == rows


def test_features_on_disk_give_the_same_rows_and_leave_nothing(run, tmp_path, monkeypatch):
    plain = measured(run, method="linear-adamw", epochs=2)
    (run.folder / "results.jsonl").unlink()
    extraction = ProbeConfig.extraction

    def small(self, cache=None):
        kept = extraction(self, cache)
        object.__setattr__(kept.storage, "in_memory", 0)
        return kept

    monkeypatch.setattr(ProbeConfig, "extraction", small)
    cache = tmp_path / "cache"
    cache.mkdir()
    config = ProbeConfig(**FEW, method="linear-adamw", epochs=2)
    (row,) = measure_probe(run, "A", config, 4, str(cache))
    assert (row["value"], row["settings"]) == (plain[0]["value"], plain[0]["settings"])
    assert list(cache.iterdir()) == []


def test_baselines_stand_beside_every_method_and_position(run, tmp_path):
    file = tmp_path / "baselines.jsonl"
    config = ProbeConfig(**FEW, method=["linear-adamw", "fine-tune"], epochs=1, layer=None)
    rows = list(measure_baselines(run.language, "A", config, file))
    assert [row["method"] for row in rows] == ["majority", "majority", "lookup", "lookup", "bayes", "bayes"]
    assert "epochs" in rows[0]["settings"]
    assert rows[3]["settings"] == OLD
    config = ProbeConfig(**FEW, layer=2, position="all")
    rows = list(measure_baselines(run.language, "A", config, file))
    assert [(row["method"], row.get("position")) for row in rows] == [
        ("majority", None),
        *(("lookup", position) for position in range(1, 9)),
        ("bayes", None),
    ]
    assert rows[0]["settings"] == OLD


def test_tables_have_columns_for_layer_and_position_and_figures_leave_them_out(run, tmp_path):
    measured(run)
    measured(run, layer="all")
    measured(run, method="linear-adamw", epochs=1)
    rows = rows_in([run.folder])
    write_tables(rows, tmp_path)
    table = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["layer"] for row in table] == [None, 0, 1, 2, None]
    assert {row["position"] for row in table} == {None}
    points = points_of(list(named([run]).values()), one_setting(rows))
    assert {point["method"]: point["accuracy"] for point in points} == {
        "linear": rows[0]["value"],
        "linear-adamw": rows[-1]["value"],
    }


# ---- the configuration


def test_how_a_method_is_trained():
    assert ProbeConfig().probe("linear") == Optimum(1e-4)
    assert ProbeConfig(l2=None).probe("linear") == Optimum(None)
    assert ProbeConfig().probe("linear-adamw") == AdamW(1e-3, 100, 256)
    assert ProbeConfig(method="fine-tune").probe("fine-tune") == FineTuning(1e-4, 10, 256)
    assert ProbeConfig(method="fine-tune", lr=0.5, epochs=3, batch_size=9).probe("fine-tune") == FineTuning(0.5, 3, 9)


@pytest.mark.parametrize("given", ["linear-adamw", ["linear", "linear-adamw"]])
def test_one_method_or_several_in_yaml(given):
    config = from_mapping(ProbeConfig, {"method": given, "l2": None, "layer": "all", "position": 3}, "study")
    assert config.methods == ([given] if isinstance(given, str) else given)
    assert (config.l2, config.layer, config.position) == (None, "all", 3)


BAD = [
    ("--method lin", "unknown probe method 'lin': did you mean 'linear'?"),
    ("--method []", "method is [], expected one or several of linear, linear-adamw"),
    ("--method [linear,linear]", "name each once"),
    ("--layer 3", "layer is 3, expected 0 to 2 or all"),
    ("--layer -1", "layer is -1"),
    ("--layer last", "layer is 'last', expected a number or all"),
    ("--position 0", "position is 0, expected 1 to 8 or all"),
    ("--position 9", "position is 9"),
    ("--method fine-tune --layer 1", "layer with method fine-tune"),
    ("--method fine-tune --projection 5", "projection with method fine-tune"),
    ("--projection 0", "projection is 0, expected at least 1"),
    ("--projection 64", "projection is 64, expected less than the 64 features that a probe of bert-2x8 reads"),
    ("--projection 8 --position 1", "projection is 8, expected less than the 8 features"),
    ("--l2 null --train-sentences 1", "train_sentences is 1, expected at least 2 to choose l2 by validation"),
    ("--precision bf17", "precision is 'bf17', expected one of float32, bf16"),
    ("--epochs 0", "epochs is 0, expected at least 1"),
    ("--lr -1", "lr is -1.0, expected a positive number"),
    ("--lr fast", "lr is 'fast', expected a number or null"),
    ("--batch-size 0", "batch_size is 0"),
    ("--cache nowhere", "cache nowhere: no such directory"),
    ("--task D", "unknown task 'D'"),
    ("--step 3", "no checkpoint of step 3"),
]


@pytest.mark.parametrize(("more", "message"), BAD)
def test_bad_input_is_one_line_and_changes_nothing(run, refused, more, message):
    refused(f"probe {run.folder} {'' if '--task' in more else '--task A '}{GIVEN} {more}", message)


def test_a_full_disk_is_one_line_and_loses_nothing(run, capsys, monkeypatch, tmp_path):
    from satlab.probes import feature_store as store

    measured(run)
    before = (run.folder / "results.jsonl").read_bytes()
    monkeypatch.setattr(store.shutil, "disk_usage", lambda place: type("Usage", (), {"free": 10}))
    monkeypatch.setattr(ProbeConfig, "extraction", no_memory(ProbeConfig.extraction))
    line = f"probe {run.folder} --task A {GIVEN} --method linear-adamw --epochs 1 --cache {tmp_path}"
    assert cli.run(line.split()) == 2
    out, err = capsys.readouterr()
    assert err == err.splitlines()[0] + "\n"
    assert f"cache {tmp_path}: 0.0 GB free" in err
    assert [json.loads(row)["method"] for row in out.splitlines()] == ["majority"]
    after = (run.folder / "results.jsonl").read_bytes()
    assert after.startswith(before)


def no_memory(extraction):
    def changed(self, cache=None):
        kept = extraction(self, cache)
        object.__setattr__(kept.storage, "in_memory", 0)
        return kept

    return changed


def test_a_study_refuses_a_probe_that_cannot_be():
    with pytest.raises(InputError, match="unknown probe method 'fine-tuning': did you mean 'fine-tune'"):
        from_mapping(ProbeConfig, {"method": "fine-tuning"}, "study, probe")
