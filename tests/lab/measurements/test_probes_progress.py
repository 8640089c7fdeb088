"""How far probes are: a method's rows are kept as it ends, and its seeds and epochs are seen on the way."""

import json
import re
import sys
from dataclasses import replace

import pytest
from support.commands import check_one_line, said_by
from support.probed import FEW, GIVEN
from support.terminal import Terminal

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.lab.cli import main as cli
from satlab.lab.measurements import probe as probe_rows
from satlab.lab.measurements.probe import measure_baselines, measure_probe
from satlab.lab.measurements.probe_config import ProbeConfig
from satlab.lab.runs.run import load_run
from satlab.models import build_model
from satlab.probes import AdamW, Extraction, FineTuning, Samples, fine_tune, frozen, frozen_probes
from satlab.probes.features import extract

ALL = {"method": ["linear", "linear-adamw", "fine-tune"], "epochs": 2}


def rows_there(run):
    return [(row["method"], row["step"]) for row in load_run(run.folder).results]


def test_a_method_that_is_done_is_kept_when_the_next_one_is_killed(run, monkeypatch):
    def killed(*given, **more):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FineTuning, "accuracies", killed)
        with pytest.raises(KeyboardInterrupt):
            list(measure_probe(run, "A", ProbeConfig(**FEW, **ALL), 4))
    assert rows_there(run) == [("linear", 4), ("linear-adamw", 4)]
    kept = load_run(run.folder).results
    monkeypatch.setattr(probe_rows, "frozen_probes", killed)
    rows = list(measure_probe(run, "A", ProbeConfig(**FEW, **ALL), 4))
    assert rows[:2] == kept
    assert rows[2]["method"] == "fine-tune"


@pytest.mark.parametrize("left", [[], ["linear"]])
def test_features_are_computed_once_for_all_linear_probes(run, tmp_path, monkeypatch, left):
    """Of a repeat's training and test sentences, whatever methods and positions there are; of the look-up table too."""
    config = ProbeConfig(**FEW, method=["linear", "linear-adamw"], position="all", epochs=1)
    if left:
        list(measure_probe(run, "A", replace(config, method=left, epochs=None), 4))
        list(measure_baselines(run.language, "A", replace(config, method=left, epochs=None), tmp_path / "b"))
    read = []

    def counted(model, sentences, *how):
        read.append(len(sentences))
        return extract(model, sentences, *how)

    monkeypatch.setattr(frozen, "extract", counted)
    rows = list(measure_probe(run, "A", config, 4))
    assert (len(rows), read) == (2 * run.language.max_length, 2 * [FEW["train_sentences"], FEW["test_sentences"]])
    read.clear()
    rows = list(measure_baselines(run.language, "A", config, tmp_path / "b"))
    assert len(rows) == 2 * (run.language.max_length + 2)
    assert read == 2 * [FEW["train_sentences"], FEW["test_sentences"]]


def test_fits_and_epochs_are_told_of_in_checkpoints(run):
    told = []
    list(measure_probe(run, "A", ProbeConfig(**FEW, **ALL), on_part=lambda done, of: told.append((done, of))))
    # Two seeds of two linear methods together, two epochs of two seeds of fine-tuning, and the end of the checkpoint.
    each = [1 / 8, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1, 1]
    assert [done for done, _ in told] == pytest.approx(each + [1 + x for x in each])
    assert {of for _, of in told} == {2}


def test_baselines_tell_how_many_are_done(run, tmp_path):
    told = []
    config = ProbeConfig(**FEW, method=["linear", "linear-adamw"], epochs=1)

    def again():
        told.clear()
        list(measure_baselines(run.language, "A", config, tmp_path / "b", None, lambda *part: told.append(part)))
        return told

    assert again() == [(n, 6) for n in (1, 2, 2.5, 3, 3.5, 4, 3, 4, 5, 6)]
    assert again() == [(n, 6) for n in range(1, 7)]


def test_the_library_calls_back_after_each_fit_and_each_epoch():
    language = load_language("demo-pcfg")
    model, task = build_model("bert-1x8", language), language.tasks["A"]
    told = []
    frozen_probes(
        model,
        language,
        task,
        {"a": AdamW(epochs=1), "b": AdamW(epochs=1)},
        samples=Samples(20, 20, 3),
        on_fit=lambda *n: told.append(n),
    )
    assert told == [(i, 6) for i in range(1, 7)]
    told.clear()
    fine_tune(model, language, task, 20, 20, 2, how=FineTuning(epochs=3), on_epoch=lambda *n: told.append(n))
    assert told == [(i, 6) for i in range(1, 7)]


def test_a_projection_is_narrower_than_a_networks_features():
    language = load_language("demo-pcfg")
    task, samples, methods = language.tasks["A"], Samples(20, 20, 2), {"a": AdamW(epochs=1)}
    model, width = build_model("bert-1x8", language), 8 * language.max_length
    frozen_probes(model, language, task, methods, samples=samples, extraction=Extraction(width - 1))
    with pytest.raises(InputError, match=f"projection is {width}, expected less than the {width} features"):
        frozen_probes(model, language, task, methods, samples=samples, extraction=Extraction(width))
    # The look-up table is probed as the models are, which may have more features than it.
    table = build_model("lookup", language)
    many = table.feature_size * language.max_length + 1
    frozen_probes(table, language, task, methods, samples=samples, extraction=Extraction(many))


def test_one_checkpoint_moves_its_bar(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    line = f"probe {run.folder} --task A {GIVEN} --method fine-tune --epochs 2 --step 4"
    assert cli.run(line.split()) == 0
    states = re.split(r"[\r\n]+", sys.stderr.getvalue())
    seen = [found[1] for state in states if (found := re.search(r"\s(\S+/1) \[", state))]
    assert {"0.25/1", "0.5/1", "0.75/1"} <= set(seen)
    assert any(re.search(r"\s1\.5/3 \[", state) for state in states)
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_a_damaged_checkpoint_is_refused_before_baselines_are_measured(run, capsys):
    weights = run.checkpoints[-1][1] / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    check_one_line(said_by(capsys, f"probe {run.folder} --task A {GIVEN}", 2), "damaged")
    assert load_run(run.folder).results == []
    assert cli.run(f"probe {run.folder} --task A {GIVEN} --step 2".split()) == 0
    capsys.readouterr()
    weights.write_bytes(whole)
    assert cli.run(f"probe {run.folder} --task A {GIVEN}".split()) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["step"] for row in rows] == [None, None, None, 2, 4]
