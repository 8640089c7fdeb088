"""How many features a next-word model needs: `satlab conditions --features`, and the warning of training."""

import warnings
from itertools import pairwise

import pytest
from support.networks import demo_hmm, tiny_hmm

from satlab.errors import InputError
from satlab.lab.measurements import softmax_capacity
from satlab.lab.measurements.softmax_capacity import capacity_rows, warn_of_width


def test_least_kl_falls_with_the_features_to_nothing_at_the_rank():
    rank, *rows = capacity_rows(tiny_hmm(5, 3), [1, 2, 3, 4])
    assert rank["all_prefixes"]
    assert rank["value"] - 1 <= rank["with_bias"] <= rank["value"] <= 4
    values = [row["value"] for row in rows]
    assert [row["features"] for row in rows] == [1, 2, 3, 4]
    assert all(one >= other - 1e-9 for one, other in pairwise(values))
    assert values[0] > 1e-4
    assert values[rank["with_bias"]] < 1e-4 if rank["with_bias"] < 4 else values[3] < 1e-4


def test_too_much_work_is_refused(monkeypatch):
    monkeypatch.setattr(softmax_capacity, "MOST_WORK", 1000)
    with pytest.raises(InputError, match="features 0"):
        list(capacity_rows(tiny_hmm(), [0]))
    with pytest.raises(InputError, match=r"features 5: .* are more than is searched in some seconds"):
        list(capacity_rows(demo_hmm(), [5], sentences=20))


def said(language, d, threshold=0.01):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_width(language, d, threshold)
    return [str(warning.message) for warning in caught]


def test_training_says_that_a_width_cannot_saturate(monkeypatch):
    language = tiny_hmm(8, 3)
    (line,) = said(language, 1, threshold=1e-3)
    assert line.startswith("1 features cannot saturate: log p* of the next word has rank ")
    assert "above 0.001; take a wider model" in line
    assert said(language, 1, threshold=5.0) == []
    assert said(language, 8, threshold=1e-9) == []
    monkeypatch.setattr(softmax_capacity, "QUICK_WORK", 50)
    assert said(language, 1, threshold=1e-3) == []


def test_the_command_prints_rank_and_least_kl(printed):
    rows, err = printed("conditions demo-hmm --features [2,4]")
    assert [row.get("features") for row in rows] == [None, 2, 4]
    assert rows[0]["quantity"] == "rank of log p*"
    assert err == ""


def test_training_warns_once(printed):
    small = "--steps 1 --batch_size 4 --evaluation_sentences 4"
    _, err = printed(f"train demo-hmm --out run --model gpt-1x2:heads=1 {small}")
    assert err.count("cannot saturate") == 1
    _, err = printed(f"train demo-hmm --out other --model gpt-1x16 {small}")
    assert "cannot saturate" not in err
