"""Statistics at matched KL against two loops and a bootstrap by hand; what was planted is found, and nothing else."""

import itertools
import math

import numpy as np
import pytest
from support.points import point, world

from satlab.lab.analysis.correlation import correlation
from satlab.lab.analysis.matched import COLUMNS, matched_of
from satlab.lab.analysis.matched_words import in_words, said_of_unmatched
from satlab.lab.analysis.matching import MatchConfig, pairs_of, strata_of

CONFIG = MatchConfig()


def found(rows, statistic="share", by="pairs", among="saturated", of="all"):
    keys = ("statistic", "by", "among", "of")
    (row,) = [row for row in rows if tuple(row[key] for key in keys) == (statistic, by, among, of)]
    return row


def by_hand(points, weights):
    """share, gain and gain given KL by loops, a pair counting as often as the product of its runs' weights."""
    won, x, y, z, w = [], [], [], [], []
    for a, b in itertools.combinations(points, 2):
        mean = (a["kl"] + b["kl"]) / 2
        error = math.hypot(a["kl_stderr"], b["kl_stderr"])
        if a["run"] == b["run"] or abs(a["kl"] - b["kl"]) > max(1.96 * error, 0.1 * mean):
            continue
        x.append(math.log2(b["trace"] / a["trace"]))
        y.append(a["accuracy"] - b["accuracy"])
        z.append((a["kl"] - b["kl"]) / mean)
        won.append(x[-1] * y[-1] > 0)
        # Runs of one root come together, as often as the root is drawn.
        same = a["root"] == b["root"]
        w.append(weights[a["root"]] * (1.0 if same else weights[b["root"]]))
    x, y, z, w = map(np.array, (x, y, z, w))
    if not w.sum():
        return [math.nan] * 3
    root = np.sqrt(w)
    slopes = [
        np.linalg.lstsq(np.column_stack(columns) * root[:, None], y * root, rcond=None)[0][0]
        for columns in ([x], [x, z])
    ]
    return [float((w * won).sum() / w.sum()), *slopes]


def test_values_are_those_of_two_loops():
    points = world(0, runs=7)
    rows = matched_of(points, resamples=50)
    expected = by_hand(points, dict.fromkeys({each["root"] for each in points}, 1.0))
    values = [found(rows, name)["value"] for name in ("share", "gain", "gain given KL")]
    assert values == pytest.approx(expected, rel=1e-10)
    pairs = pairs_of(points, CONFIG)
    assert found(rows)["pairs"] == len(pairs.gain) > 50
    assert found(rows, "lower KL")["value"] == pytest.approx(np.mean(pairs.kl_left < 0))


@pytest.mark.parametrize("of_one_root", [1, 2])
def test_the_interval_resamples_roots_and_pairs_no_run_with_itself(of_one_root):
    points = world(1, runs=9 * of_one_root, gain=0.004)
    points = [point | {"root": f"q{int(point['run'][1:]) // of_one_root}"} for point in points]
    rows = matched_of(points, resamples=4000)
    assert found(rows)["runs"] == 9
    names, rng = [f"q{i}" for i in range(9)], np.random.default_rng(5)
    drawn = []
    for _ in range(600):
        times = rng.multinomial(9, np.full(9, 1 / 9))
        drawn.append(by_hand(points, dict(zip(names, times, strict=True))))
    for place, name in enumerate(("share", "gain", "gain given KL")):
        row = found(rows, name)
        low, high = np.nanquantile(np.array(drawn)[:, place], [0.025, 0.975])
        # BCa moves both ends a little; a resample of pairs as if they were independent is far narrower.
        assert row["low"] < row["value"] < row["high"]
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=0.35 * (high - low))
        assert 0.6 < (row["high"] - row["low"]) / (high - low) < 1.5


def test_kendalls_tau_within_strata():
    points = world(2, runs=8)
    row = found(matched_of(points, resamples=200), "kendall", "strata")
    strata, signs = strata_of(points, CONFIG), []
    for stratum in strata:
        for a, b in itertools.combinations(stratum, 2):
            if a["run"] != b["run"]:
                signs.append(np.sign(a["trace"] - b["trace"]) * np.sign(a["accuracy"] - b["accuracy"]))
    assert (row["value"], row["pairs"]) == (pytest.approx(np.mean(signs)), len(signs))
    assert row["strata"] <= len(strata)
    assert row["low"] < row["value"] < row["high"]


def test_a_planted_relation_is_found():
    rows = matched_of(world(4, runs=15, gain=0.02), resamples=1000)
    assert found(rows)["low"] > 0.5
    for name in ("gain", "gain given KL"):
        row = found(rows, name)
        assert row["low"] > 0
        assert abs(row["value"] - 0.02) < 4 * (row["high"] - row["low"]) / 3.92
    assert found(rows, "kendall", "strata")["high"] < 0
    sharper = matched_of(world(4, runs=15, gain=-0.02), resamples=1000)
    assert found(sharper)["high"] < 0.5
    assert found(sharper, "kendall", "strata")["low"] > 0


def test_without_a_relation_the_share_is_a_half_within_its_interval():
    rows = matched_of(world(5, runs=15), resamples=1000)
    for row, none in ((found(rows), 0.5), (found(rows, "gain"), 0.0), (found(rows, "kendall", "strata"), 0.0)):
        assert row["low"] < none < row["high"]


def test_what_kl_alone_brings_about_is_gone_at_the_same_kl():
    """Tr(H) and accuracy both follow KL over a factor of 20: they correlate, and at the same KL they do not."""
    points = world(6, runs=20, along_kl=0.06, spread=1.0)
    trace, accuracy, runs = ([each[key] for each in points] for key in ("trace", "accuracy", "run"))
    assert correlation(trace, accuracy, groups=runs, resamples=500).high < 0
    rows = matched_of(points, resamples=1000)
    for row, none in ((found(rows), 0.5), (found(rows, "gain given KL"), 0.0), (found(rows, "lower KL"), 0.5)):
        assert row["low"] < none < row["high"]


def test_kinds_of_pairs():
    """Two sizes by two algorithms: the flatter one is better within a size, the sharper one across."""
    points = [
        point(
            f"{model}-{algorithm}-{i}",
            0.005,
            10.0 * size + i,
            0.7 + 0.1 * size - 0.001 * i,
            model=model,
            algorithm=algorithm,
        )
        for size, model in enumerate(("bert-1x8", "bert-1x16"), 1)
        for algorithm in ("adamw", "sgd")
        for i in ((0, 1, 2, 3, 4, 5) if algorithm == "adamw" else (6, 7, 8))
    ]
    rows = matched_of(points, resamples=100)
    shares = {row["of"]: (row["value"], row["pairs"]) for row in rows if row["statistic"] == "share"}
    assert shares["one model"] == (1.0, 2 * 36)
    assert shares["different models"] == (0.0, 81)
    assert shares["one model, different algorithms"] == (1.0, 2 * 18)
    assert shares["one algorithm"][1] + shares["different algorithms"][1] == shares["all"][1] == 153
    assert found(rows, of="one model")["remark"] == ""
    assert "not comparable" in found(rows, of="different models")["remark"]
    assert found(rows, of="one model")["note"].startswith("the resamples agree")
    assert found(rows, of="one model")["low"] is None
    assert all(tuple(row) == COLUMNS for row in rows)
    inside = [each | {"enlarged": 100.0 - each["trace"], "enlarged_stderr": 1.0} for each in points]
    row = found(matched_of(inside, resamples=100), of="different models")
    assert (row["value"], row["remark"]) == (1.0, "")


@pytest.mark.parametrize("runs", [2, 3, 4])
def test_of_few_runs_there_is_no_interval(runs):
    rows = matched_of(world(7, runs=runs))
    assert {(row["low"], row["high"], row["note"]) for row in rows} == {
        (None, None, f"{runs} runs: fewer than 5 give no interval")
    }
    said = in_words(rows, "A")
    assert f" pairs of {runs} runs, too few for an interval; " in said[0]
    assert "[" not in said[0]


def test_where_nothing_agrees_a_line_says_so():
    apart = [point(f"r{i}", 0.001 * 3**i, 10.0, 0.5, saturated=False) for i in range(6)]
    rows = matched_of(apart)
    assert {(row["pairs"], row["note"], row["low"]) for row in rows} == {(0, "no pair agrees in KL", None)}
    assert all(math.isnan(row["value"]) for row in rows)
    line = "o two checkpoints of different runs agree in KL, so flatness and accuracy are not compared at the same KL"
    assert in_words(rows, "A") == [f"N{line}."]
    assert said_of_unmatched(apart) == [f"n{line}"]
    bad = [each | {"kl": 0.01, "kl_stderr": 0.01} for each in apart]
    (said,) = said_of_unmatched(bad)
    might = "15 pairs might, but their KL is not known well enough: satlab evaluate with more --sentences"
    assert said == f"n{line} ({might})"
    assert said_of_unmatched(world(0)) == []


@pytest.mark.parametrize("points", [[], [point("r", 0.005, 10.0, 0.5, step) for step in range(3)]])
def test_of_one_run_nothing_is_said(points):
    assert matched_of(points) == []
    assert in_words([], "A") == []
    assert said_of_unmatched(points) == []


def test_a_second_task_has_rows_and_words_of_its_own():
    points = world(8) + [each | {"task": "B", "accuracy": -each["trace"]} for each in world(8)]
    rows = matched_of(points, resamples=100)
    assert {row["task"] for row in rows} == {"A", "B"}
    assert "in 1.00 of them" in in_words(rows, "B")[0]
    assert in_words(rows, "C") == []


def test_words():
    mixed = world(9) + [
        each | {"saturated": False, "run": f"u{each['run']}", "root": f"u{each['run']}"} for each in world(10)
    ]
    rows = matched_of(mixed, resamples=200)
    said = in_words(rows, "A")
    row = found(rows)
    start = f"Saturated checkpoints of the same KL: n = {row['pairs']} pairs of 12 runs; the flatter one is the more"
    share = f"{row['value']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
    assert said[0].startswith(f"{start} accurate one in {share} of them (0.5: no relation) and has the lower KL in ")
    assert said[1].startswith("All checkpoints of the same KL: n = ")
    assert said[2].startswith("Saturated checkpoints in ")
    assert said[3].startswith("Two KL agree within 1.96 standard errors or 10 % of their mean. In brackets: 95 % ")


def test_the_same_seed_gives_the_same_rows():
    assert matched_of(world(0), resamples=300) == matched_of(world(0), resamples=300)
    other = matched_of(world(0), resamples=300, seed=1)
    assert found(other)["low"] == pytest.approx(found(matched_of(world(0), resamples=300))["low"], abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("runs", "checkpoints", "least"), [(8, 4, 0.88), (15, 4, 0.9), (15, 1, 0.9)])
def test_coverage(runs, checkpoints, least):
    """Of the intervals about 95 % hold the truth, with and without a relation; fewer of few runs."""
    repeats = 300
    hits = dict.fromkeys(("share", "gain", "planted"), 0)
    for seed in range(repeats):
        rows = matched_of(world(seed, runs, checkpoints), resamples=600, seed=seed)
        planted = found(matched_of(world(seed + 1000, runs, checkpoints, gain=0.01), resamples=600, seed=seed), "gain")
        for name, row, truth in (
            ("share", found(rows), 0.5),
            ("gain", found(rows, "gain"), 0.0),
            ("planted", planted, 0.01),
        ):
            hits[name] += row["low"] is None or row["low"] <= truth <= row["high"]
    assert all(least < count / repeats for count in hits.values()), hits
