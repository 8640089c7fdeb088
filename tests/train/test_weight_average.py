"""The moving average of weights: its formula, its file, and that it goes on with the same bits."""

import hashlib

import pytest
import torch
from support.networks import same_weights
from support.training import check_same, comparable, folders, running, session, short, tensors_of, trainer

from satlab.errors import InputError, StoppedError
from satlab.lab.runs.config_file import as_written
from satlab.models import load_model
from satlab.models.build import load_tensors
from satlab.train import TrainConfig, checkpoint, checkpoints
from satlab.train.checkpoint import AVERAGE

DECAY = 0.8


def averages(run):
    return {name: load_tensors(run / "checkpoints" / name / AVERAGE) for name in folders(run)}


@pytest.mark.parametrize("name", ["bert-1x16", "lstm-1x8"])
def test_it_is_the_mean_of_the_weights_after_each_step(name, tmp_path):
    """a_k = sum_i d^(k - i) w_i / sum_i d^(k - i), without the initial weights."""
    seen = []
    config = short(steps=9, checkpoints=[1, 4], average=DECAY)

    def note(step, loss):
        seen.append({key: value.clone() for key, value in made.model.state_dict().items()})

    made = trainer(name, config, tmp_path, on_step=note)
    made.model.double()
    list(made.rows())
    for step in (1, 4, 9):
        found = load_tensors(checkpoint.folder_of(tmp_path, step) / AVERAGE)
        shares = torch.tensor([DECAY ** (step - i) for i in range(1, step + 1)], dtype=torch.float64)
        for key, value in found.items():
            stacked = torch.stack([weights[key] for weights in seen[:step]])
            expected = torch.tensordot(shares / shares.sum(), stacked, dims=1)
            assert (value - expected).abs().max() < 1e-14, (step, key)


def test_training_is_the_same_with_and_without_it(tmp_path):
    rows = [session(tmp_path / key, "bert-1x16", short(average=kept)) for key, kept in (("a", None), ("b", DECAY))]
    assert comparable(rows[0]) == comparable(rows[1])
    assert folders(tmp_path / "a") == folders(tmp_path / "b")
    for name in folders(tmp_path / "a"):
        one, other = (tmp_path / key / "checkpoints" / name for key in ("a", "b"))
        assert {path.name for path in other.iterdir()} - {path.name for path in one.iterdir()} == {AVERAGE}
        for file in ("model.safetensors", "optimizer.safetensors", "state.json", "model.json"):
            assert (one / file).read_bytes() == (other / file).read_bytes()
        listed = (other / "SHA256SUMS").read_text().splitlines()
        assert f"{hashlib.sha256((other / AVERAGE).read_bytes()).hexdigest()}  {AVERAGE}" in listed


def test_sessions_that_end_anywhere_change_no_bit(tmp_path):
    config = short(average=DECAY, dropout=0.2)
    whole, rows = session(tmp_path / "whole", "bert-1x16", config), []
    for take in (2, 3, 2):
        rows = session(tmp_path / "parts", "bert-1x16", config, rows, take=take)
    seen = []
    with pytest.raises(StoppedError):
        list(running(tmp_path / "parts", "bert-1x16", config, lambda step, _: seen.append(step), lambda: len(seen) > 1))
    rows = session(tmp_path / "parts", "bert-1x16", config, rows)
    check_same(tmp_path / "whole", whole, tmp_path / "parts", rows)
    one, other = averages(tmp_path / "whole"), averages(tmp_path / "parts")
    assert all(same_weights(one[name], other[name]) for name in one)
    assert not same_weights(one[folders(tmp_path / "whole")[-1]], load_model(tmp_path / "whole").state_dict())


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_a_damaged_average_is_damage(tmp_path, how):
    config = short(steps=6, checkpoints=[3], average=DECAY)
    session(tmp_path, "bert-1x16", config)
    last = checkpoints(tmp_path)[-1][1]
    content = (last / AVERAGE).read_bytes()
    # Copied: tensors of a file are read from it when they are looked at.
    before = {name: value.clone() for name, value in tensors_of(last).items()}
    if how == "missing":
        (last / AVERAGE).unlink()
    else:
        (last / AVERAGE).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.warns(UserWarning, match=rf"{AVERAGE}: (missing|damaged).*training goes on from step 3"):
        session(tmp_path, "bert-1x16", config)
    assert same_weights(tensors_of(last), before)
    assert (last / AVERAGE).read_bytes() == content


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"average": 1.0}, "average is 1.0, expected a decay of at least 0 and below 1"),
        ({"average": -0.1}, "average is -0.1, expected a decay"),
        ({"average": float("nan")}, "average is nan, expected a decay"),
        ({"average": 0.9, "sharding": "fsdp"}, "sharding 'fsdp' with average 0.9, which needs the model as a whole"),
    ],
)
def test_what_cannot_be_averaged_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**changes)


def test_config_yaml_has_it_only_where_it_is_kept():
    assert "average" not in as_written(short())
    assert as_written(short(average=DECAY))["average"] == DECAY
