"""Pairs and strata against two loops over all checkpoints."""

import itertools
import math
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.points import point, world
from support.recorded import make_run

from satlab.errors import InputError
from satlab.lab.analysis.checkpoint_table import points_of, recorded
from satlab.lab.analysis.matching import MatchConfig, by_probe, pairs_of, rows_of_pairs, strata_of
from satlab.lab.analysis.row_selection import one_setting

KL = st.sampled_from([0.0, 0.001, 0.00105, 0.0011, 0.0013, 0.002, 0.02, -0.001, math.nan, None])
ERRORS = st.sampled_from([0.0, 0.00002, 0.0001, 0.001, math.nan])
TRACES = st.sampled_from([1.0, 2.0, 2.5, 100.0, 0.0, -3.0, None, math.nan, math.inf])
POINTS = st.lists(
    st.builds(
        lambda run, kl, trace, accuracy, **more: point(f"r{run}", kl, trace, accuracy, **more),
        run=st.integers(0, 3),
        kl=KL,
        trace=TRACES,
        accuracy=st.sampled_from([0.5, 0.6, 0.7, None]),
        kl_stderr=ERRORS,
        saturated=st.booleans(),
        model=st.sampled_from(["bert-1x8", "bert-1x16"]),
        algorithm=st.sampled_from(["adamw", "sgd"]),
        enlarged=st.sampled_from([None, 5.0, 7.0, -1.0]),
    ),
    max_size=12,
)
CONFIGS = st.builds(MatchConfig, z=st.sampled_from([0.0, 1.0, 1.96]), tolerance=st.sampled_from([0.0, 0.1, 0.4]))


def used(points):
    """The points that can be compared, one by one."""
    found = []
    for each in points:
        values = [each[key] for key in ("kl", "kl_stderr", "accuracy", "trace")]
        if None not in values and all(math.isfinite(value) for value in values) and each["trace"] > 0:
            found.append(each)
    return found


def agreement(a, b, config):
    """(close, known well enough) of two checkpoints."""
    mean, error = abs(a["kl"] + b["kl"]) / 2, math.sqrt(a["kl_stderr"] ** 2 + b["kl_stderr"] ** 2)
    close = abs(a["kl"] - b["kl"]) <= max(config.z * error, config.tolerance * mean)
    return close, error <= config.tolerance * mean or (a["saturated"] and b["saturated"])


def expected_pairs(points, config):
    """(place of the flatter, of the sharper, trace, halvings) of each pair, and the number of imprecise ones."""
    found, imprecise = set(), 0
    for (i, a), (j, b) in itertools.combinations(enumerate(points), 2):
        close, known = agreement(a, b, config)
        if a["run"] == b["run"] or not close:
            continue
        if not known:
            imprecise += 1
            continue
        inside = a["model"] != b["model"] and all((each["enlarged"] or 0) > 0 for each in (a, b))
        key = "enlarged" if inside else "trace"
        first, second = (i, j) if a[key] <= b[key] else (j, i)
        halvings = abs(math.log2(b[key] / a[key]))
        found.add((first, second, key, round(halvings, 12)))
    return found, imprecise


@given(POINTS, CONFIGS)
def test_pairs_are_those_of_two_loops(points, config):
    pairs, kept = pairs_of(points, config), used(points)
    assert pairs.points == kept
    numbers = zip(pairs.flatter, pairs.sharper, pairs.kinds, pairs.halvings, strict=True)
    found = [(int(i), int(j), str(kind), round(float(halvings), 12)) for i, j, kind, halvings in numbers]
    assert (set(found), pairs.imprecise) == expected_pairs(kept, config)
    assert len(found) == len(set(found))
    for n, (i, j) in enumerate(zip(pairs.flatter, pairs.sharper, strict=True)):
        a, b = kept[i], kept[j]
        assert a["run"] != b["run"]
        assert pairs.gain[n] == a["accuracy"] - b["accuracy"]
        assert pairs.same("model")[n] == (a["model"] == b["model"])
        assert pairs.saturated[n] == (a["saturated"] and b["saturated"])
        middle = abs(a["kl"] + b["kl"]) / 2
        assert pairs.kl_left[n] == pytest.approx((a["kl"] - b["kl"]) / middle if middle else 0.0)


@given(POINTS, CONFIGS)
def test_every_two_of_a_stratum_agree_and_the_next_begins_where_one_does_not(points, config):
    strata = strata_of(points, config)
    saturated = [each for each in used(points) if each["saturated"]]
    assert sorted(map(id, itertools.chain(*strata))) == sorted(map(id, saturated))
    for stratum in strata:
        assert all(agreement(a, b, config)[0] for a, b in itertools.combinations(stratum, 2))
    for before, after in itertools.pairwise(strata):
        assert before[-1]["kl"] <= after[0]["kl"]
        assert not all(agreement(each, after[0], config)[0] for each in before)
    pairs = pairs_of(points, config)
    number = {id(each): n for n, stratum in enumerate(strata) for each in stratum}
    for i, j, stratum in zip(pairs.flatter, pairs.sharper, pairs.stratum, strict=True):
        both = [number.get(id(pairs.points[place]), -1) for place in (i, j)]
        assert stratum == (both[0] if both[0] == both[1] else -1)


def test_checkpoints_of_one_run_never_pair():
    points = [point("r", 0.005, 10.0 + step, 0.5, step) for step in range(9)]
    pairs = pairs_of([*points, point("other", 0.005, 3.0, 0.6)], MatchConfig())
    assert len(pairs.gain) == 9
    assert all("other" in (row["flatter"], row["sharper"]) for row in rows_of_pairs(pairs))


def test_copies_of_a_training_never_pair(tmp_path):
    first = make_run(tmp_path / "a")
    shutil.copytree(first, tmp_path / "b")
    other = make_run(tmp_path / "c")
    for folders, count in (([first, tmp_path / "b"], 0), ([first, tmp_path / "b", other], 3)):
        runs, rows = recorded(folders)
        (mine,) = by_probe(points_of(runs, one_setting(rows))).values()
        assert len(pairs_of(mine, MatchConfig(tolerance=0.9)).gain) == count


def test_a_pair_that_is_turned_round_says_the_same():
    points = world(3)
    forth, back = (list(rows_of_pairs(pairs_of(given, MatchConfig()))) for given in (points, points[::-1]))
    names = ("flatter", "flatter_step", "sharper", "sharper_step", "halvings", "gain", "gain_stderr", "kl_left")
    assert sorted(tuple(row[name] for name in names) for row in forth) == sorted(
        tuple(row[name] for name in names) for row in back
    )


def test_the_errors_of_a_pairs_differences():
    points = [point("a", 0.005, 10.0, 0.7, accuracy_stderr=0.003), point("b", 0.005, 40.0, 0.6, accuracy_stderr=0.004)]
    (row,) = rows_of_pairs(pairs_of(points, MatchConfig()))
    assert (row["flatter"], row["sharper"], row["trace"]) == ("a", "b", "trace")
    assert (row["halvings"], row["gain"]) == (pytest.approx(2.0), pytest.approx(0.1))
    assert row["gain_stderr"] == pytest.approx(0.005)
    assert row["halvings_stderr"] == pytest.approx(math.hypot(0.5 / 10, 0.5 / 40) / math.log(2))


def test_a_badly_measured_kl_agrees_with_nothing_unless_saturated():
    bad = [point(run, 0.02, 10.0, 0.5, kl_stderr=0.01, saturated=False) for run in "ab"]
    pairs = pairs_of(bad, MatchConfig())
    assert (len(pairs.gain), pairs.imprecise) == (0, 1)
    pairs = pairs_of([each | {"saturated": True} for each in bad], MatchConfig())
    assert (len(pairs.gain), pairs.imprecise) == (1, 0)


@pytest.mark.parametrize("settings", [{"z": -1.0}, {"z": math.nan}, {"tolerance": -0.1}, {"tolerance": math.inf}])
def test_settings_that_are_refused(settings):
    with pytest.raises(InputError, match="expected a number of at least 0"):
        MatchConfig(**settings)
