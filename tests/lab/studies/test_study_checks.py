"""What a study refuses before it writes or trains anything, and what it says of the place that is wrong."""

import shutil

import pytest
import yaml
from support.commands import contents
from support.studies import STUDY, lines

from satlab.errors import InputError
from satlab.generators import load_language
from satlab.lab.cli import main as cli
from satlab.lab.measurements.flatness_config import FlatnessConfig
from satlab.lab.measurements.probe import measure_baselines
from satlab.lab.measurements.probe_config import ProbeConfig
from satlab.lab.studies import jobs as cells
from satlab.lab.studies.config import STUDIES, load_study
from satlab.lab.studies.study import check_study, prepare
from satlab.system.disk import append_lines

SMALL = STUDY | {"models": {"bert-1x8": {}}}
SHORT = {"preset": "demo-hmm", "length": 4}
FEW = {"train_sentences": 40, "test_sentences": 30, "seeds": 2}


def written(folder, name="study.yaml", **changes):
    (folder / name).write_text(yaml.safe_dump(SMALL | changes))
    return str(folder / name)


@pytest.fixture
def begun(tmp_path):
    """The directory of a study that has its runs, not trained yet, and the study of another length."""
    prepare(load_study(written(tmp_path)), tmp_path / "out")
    return tmp_path / "out", load_study(written(tmp_path, "other.yaml", language=SHORT, tasks=["state-2"]))


# ---- one language a directory


def test_another_language_is_refused_and_nothing_is_written(begun):
    out, other = begun
    before = contents(out)
    with pytest.raises(
        InputError, match=r"holds a study of another language .*max_length 8, there.*max_length 4, given"
    ):
        prepare(other, out)
    assert contents(out) == before


def test_the_runs_there_tell_of_another_language_too(begun, tmp_path):
    out, other = begun
    text = (out / "study.yaml").read_text()
    (out / "study.yaml").write_text(text.replace("language: demo-hmm", "language: gone.pcfg"))
    with pytest.raises(InputError, match="runs/bert-1x8-seed0 holds a run of another language"):
        check_study(other, out)


def test_a_grammar_that_was_changed_in_its_place_is_another_language(tmp_path):
    grammar = tmp_path / "g.pcfg"
    grammar.write_text("S -> 'a' S [0.5] | 'b' [0.5]\n")
    study = load_study(written(tmp_path, language="g.pcfg", max_length=5, tasks=[]))
    prepare(study, tmp_path / "out")
    prepare(study, tmp_path / "out")
    grammar.write_text("S -> 'a' S [0.25] | 'b' [0.75]\n")
    with pytest.raises(InputError, match="another language"):
        check_study(study, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "runs")
    check_study(study, tmp_path / "out")


def test_other_models_tasks_and_measurements_go_into_the_same_directory(begun, tmp_path):
    out, _ = begun
    changed = written(tmp_path, models={"lstm-1x8": {}}, tasks=["state-2"], flatness={"contexts": 20})
    assert [run.model for run in prepare(load_study(changed), out)] == ["lstm-1x8"]


def test_baselines_of_another_language_are_measured_again(tmp_path):
    file, config = tmp_path / "baselines.jsonl", ProbeConfig(**FEW)
    long, short = load_language("demo-hmm"), load_language(SHORT)
    first = list(measure_baselines(long, "state-2", config, file))
    second = list(measure_baselines(short, "state-2", config, file))
    assert [row["value"] for row in first] != [row["value"] for row in second]
    assert {row["language_fingerprint"] for row in second} == {short.fingerprint()}
    assert list(measure_baselines(long, "state-2", config, file)) == first
    assert len(lines(file)) == 6


def test_baselines_that_do_not_say_their_language_are_measured_again(tmp_path):
    file, config, language = tmp_path / "baselines.jsonl", ProbeConfig(**FEW), load_language("demo-hmm")
    rows = list(measure_baselines(language, "state-2", config, tmp_path / "before.jsonl"))
    old = [{k: v for k, v in row.items() if k != "language_fingerprint"} | {"value": 0.5} for row in rows]
    append_lines(file, old)
    again = list(measure_baselines(language, "state-2", config, file))
    assert [row["value"] for row in again] == [row["value"] for row in rows]
    assert lines(file) == old + again


# ---- settings


WRONG = [
    ({"probe": {"layer": 9}}, "study.yaml, probe of model bert-1x8: layer is 9, expected 0 to 1"),
    ({"probe": {"position": 99}}, "study.yaml, probe of model bert-1x8: position is 99, expected 1 to 8"),
    ({"probe": {"projection": 64}}, "projection is 64, expected less than the 64 features that a probe of bert-1x8"),
    ({"probe": {"position": 1, "projection": 8}}, "less than the 8 features"),
    ({"probe": {"train_sentences": 1, "l2": None}}, "train_sentences is 1, expected at least 2"),
    (
        {"flatness": {"method": "hutchinson", "probes": 13, "contexts": 12}},
        "probes is 13 with method hutchinson and 12",
    ),
    ({"flatness": {"method": "sharpness", "contexts": 12}}, "probes is 100 with method sharpness and 12 contexts"),
    ({"flatness": {"method": "hutch++", "probes": 5}}, "probes is 5, expected at least 6 for hutch++"),
    ({"flatness": {"radii": [0.1, 0.1]}}, "radii is [0.1, 0.1], expected each once"),
    ({"tasks": ["state-1", "state:position=1"]}, "tasks: 'state-1' and 'state:position=1' are one task"),
    ({"cache": "nowhere"}, "nowhere: no such directory"),
    ({"models": {"bert-1x8": {"lrr": 1}}}, "study.yaml, model bert-1x8: unknown key 'lrr'"),
    ({"models": {"lookup": {}}}, "study.yaml, model lookup: 'lookup' cannot be trained"),
    ({"models": {"bort-1x8": {}}}, "study.yaml, model bort-1x8: unknown model 'bort'"),
    ({"models": {"a": None}}, "model a: unknown model 'a'"),
    ({"models": {"a": None}}, "give a model such as bert-1x64 under the key 'model'"),
    ({"published": [{"quantity": "lss", "model": "lookup", "value": 1, "source": "x"}]}, "study.yaml, published 1: "),
    ({"enlarge_to": "bert-1x12"}, "width 12 is not a multiple of 8"),
    ({"enlarge_to": "lstm-2x16"}, "lstm is another kind of model"),
    ({"enlarge_to": "bert-0x16"}, "bert-0x16"),
    ({"enlarge_to": "bert-2x6400000"}, "GiB of this machine"),
]


@pytest.mark.parametrize("cells", [[], ["--cells"], ["--cell", "0"]], ids=["study", "cells", "cell"])
@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_what_a_measurement_would_refuse_is_refused_before_anything_is_written(tmp_path, refused, changes, said, cells):
    refused(["study", written(tmp_path, **changes), "--out", tmp_path / "out", *cells], said)


def test_settings_that_just_fit():
    FlatnessConfig(method="hutchinson", probes=12, contexts=12)
    FlatnessConfig(method="sampled-gradient", probes=100, contexts=12)
    FlatnessConfig(method="hutch++", probes=6, contexts=2)
    ProbeConfig(train_sentences=1, l2=None, method="linear-adamw")


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("nofile.yaml", "top.yaml, extends: nofile.yaml: no such file, expected a study"),
        ("smok", "top.yaml, extends: unknown study 'smok': did you mean 'smoke'?"),
        (None, "top.yaml: extends is 'None', expected another study's path or name"),
        (["smoke"], "top.yaml: extends is '['smoke']', expected another study's path or name"),
    ],
)
def test_a_study_that_extends_none_says_which_study_it_is(tmp_path, base, said):
    (tmp_path / "top.yaml").write_text(yaml.safe_dump({"extends": base}))
    with pytest.raises(InputError) as raised:
        load_study(str(tmp_path / "top.yaml"))
    assert said in str(raised.value)


# ---- where features are kept


@pytest.mark.parametrize("given", ["in the study", "by the option"])
def test_features_are_kept_where_the_study_says(tmp_path, monkeypatch, given):
    seen = []
    for name in ("measure_probe", "measure_baselines"):
        monkeypatch.setattr(cells, name, lambda *how: seen.append(how[-1]) or [])
    cache, other = tmp_path / "cache", tmp_path / "other"
    cache.mkdir()
    other.mkdir()
    train = STUDY["train"] | {"steps": 1, "checkpoints": []}
    path = written(tmp_path, train=train, cache=str(cache if given == "in the study" else other))
    option = [] if given == "in the study" else ["--cache", str(cache)]
    for cell in ("0", "1"):
        assert cli.run(["study", path, "--out", str(tmp_path / "out"), "--cell", cell, *option]) == 0
    assert seen == [str(cache)] * 2
    assert load_study(str(tmp_path / "out" / "study.yaml")).cache == str(cache)


# ---- what ships


def test_studies_of_the_paper_take_the_published_probe_and_the_optimum():
    for path in sorted(STUDIES.glob("*.yaml")):
        if path.stem.startswith(("figure", "table")):
            probe = load_study(path.stem).probe
            assert probe.methods == ["linear-adamw", "linear"], path
            assert (probe.seeds, probe.projection) == (5, None)
            assert probe.train_sentences == (8000 if path.stem.endswith("-small") else 100_000)


@pytest.mark.parametrize("size", ["", "-small"])
def test_figure_10_is_drawn_by_steps_and_by_size(size):
    assert "training-kl" in load_study(f"figure-10{size}").form
    assert "sizes-kl" in load_study(f"figure-10-sizes{size}").form
    assert load_study(f"figure-10-sizes{size}").models == load_study(f"figure-2{size}").models
