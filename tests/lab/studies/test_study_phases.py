"""A study whose runs begin with the ends of others, and recipes in studies."""

import shutil

import pytest
from support.studies import STUDY, write

from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run
from satlab.lab.runs.trainings import root_of
from satlab.lab.studies.config import load_study
from satlab.lab.studies.models import model_of, train_config

SHORT = STUDY["train"] | {"steps": 20, "checkpoints": [], "resume_every": 50}
MODELS = {
    "last": {"from": "middle", "optimizer": "sgd", "lr": 0.1},
    "middle": {"from": "bert-1x8", "lr": 0.001},
    "bert-1x8": {},
}
PHASES = {"models": MODELS, "train": SHORT, "seeds": [0, 1]}


def phases_in(out):
    return {name: load_run(out / "runs" / f"{name}-seed1") for name in MODELS}


def test_each_phase_begins_where_the_one_before_it_ends(tmp_path):
    assert cli.run(write(tmp_path, **PHASES)) == 0
    runs = phases_in(tmp_path / "out")
    assert [runs[name].origin and runs[name].origin.phase for name in MODELS] == [2, 1, None]
    assert runs["last"].origin.run == str((tmp_path / "out" / "runs" / "middle-seed1").resolve())
    assert len({root_of(run) for run in runs.values()}) == 1
    assert {run.model for run in runs.values()} == {"bert-1x8"}
    assert all({row["what"] for row in run.results} == {"kl", "probe", "hessian_trace"} for run in runs.values())
    before = [run.metrics for run in runs.values()]
    # Where it lies is no part of what it is.
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert cli.run([*write(tmp_path, **PHASES)[:3], str(tmp_path / "moved"), "--workers", "1"]) == 0
    assert [run.metrics for run in phases_in(tmp_path / "moved").values()] == before


def test_a_cell_trains_the_phases_before_its_own(tmp_path):
    assert cli.run([*write(tmp_path, **PHASES)[:-2], "--cell", "3"]) == 0
    runs = phases_in(tmp_path / "out")
    assert all(run.checkpoints for run in runs.values())
    assert runs["last"].results
    assert not (runs["middle"].folder / "results.jsonl").exists()


def test_a_failed_phase_fails_those_after_it(tmp_path, capsys):
    models = {"bert-1x8": {"lr": 1e30}, "then": {"from": "bert-1x8"}}
    assert cli.run(write(tmp_path, **PHASES | {"models": models, "seeds": [0]})) == 1
    said = capsys.readouterr().err
    assert "train then-seed0: " in said
    assert "which is unfinished; train that first" in said


def test_a_study_replaces_its_recipe_and_a_models_own_recipe_replaces_the_study(tmp_path):
    models = {"bert-1x8": {}, "gpt-1x8": {"recipe": "liu2022", "lr": 0.5}, "sgd": {"from": "bert-1x8", "lr": 1.0}}
    train = {"steps": 7, "batch_size": 9}
    write(tmp_path, models=models, recipe="fast", train=train)
    study = load_study(str(tmp_path / "study.yaml"))
    fast, published, then = (train_config(study, name, 3) for name in models)
    assert (fast.targets, fast.optimizer, fast.steps, fast.batch_size, fast.seed) == ("exact", "muon", 7, 9, 3)
    assert (published.targets, published.lr, published.warmup, published.batch_size) == ("sampled", 0.5, 0.06, 4096)
    assert (then.targets, then.optimizer, then.steps, then.lr) == ("sampled", "adamw", 7, 1.0)
    assert model_of(study, "sgd") == "bert-1x8"
    write(tmp_path, models={"bert-1x8": {"recipe": "fast"}}, train={"optimizer": "sgd", "lr": 0.3, "threshold": 0.5})
    own = train_config(load_study(str(tmp_path / "study.yaml")), "bert-1x8", 3)
    assert (own.optimizer, own.targets, own.threshold) == ("muon", "exact", 0.5)
    assert own.lr != 0.3


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ({"bert-1x8": {}, "b": {"from": "bert-1x9"}}, "model b: unknown from 'bert-1x9': did you mean 'bert-1x8'?"),
        ({"bert-1x8": {}, "b": {"from": 3}}, "model b: unknown from '3': expected one of: b, bert-1x8"),
        ({"a": {"from": "b"}, "b": {"from": "a"}}, "model a: begins with itself (a from b from a)"),
        ({"a": {"from": "a"}}, "model a: begins with itself (a from a)"),
        ({"bert-1x8": {}, "b": {"from": "bert-1x8", "model": "bert-2x8"}}, "'bert-2x8' from 'bert-1x8', which is"),
        ({"bert-1x8": {"recipe": "fst"}}, "study.yaml, model bert-1x8: unknown recipe 'fst': did you mean 'fast'?"),
        ({"bert-1x8": {"recipe": ["fast"]}}, "model bert-1x8: recipe is '['fast']', expected a name such as fast"),
        ({"bert-1x8": {"recipe": "fast", "targets": "sampled"}}, "targets is 'sampled' with recipe 'fast'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, refused, models, said):
    refused(write(tmp_path, models=models), said)
