"""How many features a next-word model needs: `satlab conditions --features`, and the warning of training."""

import warnings

import pytest
from support.networks import demo_hmm, tiny_hmm

from satlab.errors import InputError
from satlab.lab.measurements import softmax_capacity
from satlab.lab.measurements.softmax_capacity import capacity_rows, warn_of_width


def test_least_kl_falls_with_the_features_to_nothing_at_the_rank():
    rank, *rows = capacity_rows(tiny_hmm(4, 2), [1, 3, 4])
    assert rank == {
        "quantity": "rank of log p*",
        "value": 3,
        "with_bias": 3,
        "contexts": 21,
        "classes": 5,
        "all_prefixes": True,
    }
    assert [row["features"] for row in rows] == [1, 3, 4]
    assert rows[0]["value"] > 1e-4
    assert 1e-6 > rows[1]["value"] >= rows[2]["value"] == 0


def test_too_much_work_is_refused(monkeypatch):
    monkeypatch.setattr(softmax_capacity, "MOST_WORK", 1000)
    with pytest.raises(InputError, match="features is 0"):
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
    rows, err = printed("conditions demo-hmm --features 1")
    assert [row.get("features") for row in rows] == [None, 1]
    assert rows[1]["value"] > 0.05
    assert rows[0]["quantity"] == "rank of log p*"
    assert err == ""


def test_training_warns_once(printed):
    small = "--steps 1 --batch_size 4 --evaluation_sentences 4"
    _, err = printed(f"train demo-hmm --out run --model gpt-1x1:heads=1 {small}")
    assert err.count("cannot saturate") == 1
    _, err = printed(f"train demo-hmm --out other --model gpt-1x16 {small}")
    assert "cannot saturate" not in err
