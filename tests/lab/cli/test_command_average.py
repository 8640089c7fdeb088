"""satlab average: which weights a run of averages holds, that its KL is measured, and what is refused."""

import shlex

import pytest
import torch
import yaml
from support.networks import demo_hmm, same_weights

from satlab.errors import InputError
from satlab.lab.analysis.results import runs_in
from satlab.lab.cli import main as cli
from satlab.lab.runs import average as averaged
from satlab.lab.runs.run import load_run
from satlab.models import load_model
from satlab.models.build import load_tensors
from satlab.train import HeldOut, checkpoint
from satlab.train.checkpoint import AVERAGE

SMALL = "--steps 8 --batch_size 8 --lr 0.02 --checkpoints [2,4,6] --evaluation_sentences 50 --model bert-1x8"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs: one that keeps an average, one that does not."""
    folder = tmp_path_factory.mktemp("trained")
    for name, more in (("kept", "--average 0.7"), ("plain", "--seed 1")):
        assert cli.run(shlex.split(f"train demo-hmm --out {folder / name} {SMALL} {more}")) == 0
    return folder


def weights_at(run, step):
    return load_model(checkpoint.folder_of(run, step)).state_dict()


def check_rows(run, printed, steps):
    """The rows are those of metrics.jsonl, and their KL is that of the checkpoints on the run's held-out sentences."""
    made = load_run(run)
    assert [{k: v for k, v in row.items() if k != "run"} for row in printed] == made.metrics
    assert [row["step"] for row in printed] == steps == [step for step, _ in made.checkpoints]
    held_out = HeldOut(demo_hmm(), made.config)
    for row in printed:
        found = held_out.measure(load_model(checkpoint.folder_of(run, row["step"])))
        assert (row["kl"], row["kl_stderr"], row["n"]) == (found.kl.value, found.kl.stderr, found.kl.n)
        assert row["loss"] == found.kl.value + found.floor.value
        assert (row["seconds"], row["tokens_per_second"], row["saturated"]) == (0.0, None, False)


@pytest.mark.parametrize("name", ["kept", "plain"])
def test_the_mean_of_the_last_checkpoints_is_one(trained, printed, tmp_path, name):
    rows, _ = printed(f"average {trained / name} --last 3 --out means")
    check_rows(tmp_path / "means", rows, [6, 8])
    for step, of in ((6, (2, 4, 6)), (8, (4, 6, 8))):
        parts = [weights_at(trained / name, each) for each in of]
        for key, value in weights_at(tmp_path / "means", step).items():
            expected = sum(part[key].double() for part in parts) / 3
            assert torch.equal(value, expected.float()), key
    content = yaml.safe_load((tmp_path / "means/config.yaml").read_text())
    assert content["averaged"]["last"] == 3
    assert (tmp_path / "means" / content["averaged"]["run"]).resolve() == trained / name


def test_the_moving_averages_are_those_of_training(trained, printed, tmp_path):
    rows, _ = printed(f"average {trained / 'kept'} --ema --out ema")
    check_rows(tmp_path / "ema", rows, [2, 4, 6, 8])
    for step in (2, 4, 6, 8):
        kept = load_tensors(checkpoint.folder_of(trained / "kept", step) / AVERAGE)
        assert same_weights(weights_at(tmp_path / "ema", step), kept)
        assert checkpoint.damage(checkpoint.folder_of(tmp_path / "ema", step)) == "optimizer.safetensors: missing"
    assert yaml.safe_load((tmp_path / "ema/config.yaml").read_text())["averaged"]["ema"] == 0.7


def test_a_saturated_average_says_since_when(trained, printed, tmp_path):
    """Every model is saturated below a threshold of 5 nats."""
    line = f"train demo-hmm --out wide {SMALL} --threshold 5 --stop-at-saturation false"
    printed(line)
    rows, _ = printed("average wide --last 2 --out means")
    assert [(row["saturated_step"], row["since_saturation"]) for row in rows] == [(4, 0), (4, 2), (4, 4)]


def test_averages_are_measured_and_drawn_like_any_run_beside_the_raw_one(trained, satlab, tmp_path):
    satlab(f"average {trained / 'kept'} --ema --out ema")
    satlab("evaluate ema --sentences 60 --step 8")
    satlab("flatness ema --contexts 10 --step 8")
    satlab("probe ema --task state-4 --train-sentences 60 --test-sentences 60 --seeds 1 --step 8")
    satlab(f"plot ema {trained / 'kept'}")
    assert len(runs_in([tmp_path / "ema", trained / "kept"])) == 2


def test_averages_are_not_trained(trained, satlab):
    satlab(f"average {trained / 'plain'} --last 2 --out means")
    _, err = satlab(f"train demo-hmm --out means --seed 1 {SMALL}", status=2)
    assert err == "satlab: means: made by satlab average, expected a run that was trained; choose another --out\n"


@pytest.mark.parametrize(
    ("run", "options", "said"),
    [
        ("plain", "", "neither ema nor last given, expected one of the two"),
        ("plain", "--ema --last 2", "both ema and last given, expected one of the two"),
        ("plain", "--ema", "no average was kept in training, expected one; train with average, or give last"),
        ("plain", "--last 1", "last is 1, expected at least 2 checkpoints"),
        ("plain", "--last 5", "last is 5, expected at most 4, the number of kept checkpoints; give fewer"),
        ("plain", "--last two", "last is 'two', expected an integer"),
        ("plain", "--last 2 --step 4", "unknown option '--step'"),
        ("nowhere", "--last 2", "nowhere: no run here"),
    ],
)
def test_what_cannot_be_averaged_writes_nothing(refused, trained, run, options, said):
    refused(f"average {trained / run} --out new {options}", said)


def test_an_occupied_directory_is_left_as_it_is(trained, refused, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes").write_text("mine")
    refused(f"average {trained / 'plain'} --last 2 --out there", "--out there: holds something already")


def test_a_failure_half_way_leaves_nothing(trained, satlab, tmp_path, monkeypatch):
    def fail(*given):
        raise InputError("no more")

    monkeypatch.setattr(averaged, "write_sums", fail)
    satlab(f"average {trained / 'plain'} --last 2 --out means", status=2)
    assert list(tmp_path.iterdir()) == []
