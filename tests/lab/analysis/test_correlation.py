"""Coefficients against scipy's and against residuals; the interval against resampling by hand and simulation."""

import dataclasses
import math

import numpy as np
import pytest
import scipy.stats

from satlab.errors import InputError
from satlab.lab.analysis.comparison import correlations_of, in_words
from satlab.lab.analysis.correlation import correlation


def sample(n, rho=0.5, seed=0, ties=False):
    """x, y and z [n], each correlated with the others."""
    rng = np.random.default_rng(seed)
    x, y, z = np.linalg.cholesky(rho + (1 - rho) * np.eye(3)) @ rng.standard_normal((3, n))
    return tuple(np.round(2 * v) for v in (x, y, z)) if ties else (x, y, z)


def residuals(values, z):
    design = np.column_stack([np.ones(len(z)), z])
    return values - design @ np.linalg.lstsq(design, values, rcond=None)[0]


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 7, 40])
def test_values_are_those_of_scipy(n, ties):
    x, y, _ = sample(n, seed=n, ties=ties)
    expected = {"pearson": scipy.stats.pearsonr(x, y)[0], "spearman": scipy.stats.spearmanr(x, y)[0]}
    for method, value in expected.items():
        found = correlation(x, y, method=method, resamples=20)
        assert found.value == pytest.approx(value, abs=1e-12)
        assert (found.n, found.groups, found.method, found.partial) == (n, n, method, False)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [5, 30])
def test_partial_values_are_correlations_of_residuals(n, ties):
    x, y, z = sample(n, seed=n + 1, ties=ties)
    ranks = [scipy.stats.rankdata(v) for v in (x, y, z)]
    for method, (a, b, c) in {"pearson": (x, y, z), "spearman": ranks}.items():
        found = correlation(x, y, z, method, resamples=20)
        assert found.partial
        assert found.value == pytest.approx(np.corrcoef(residuals(a, c), residuals(b, c))[0, 1], abs=1e-10)
        ab, ac, bc = (np.corrcoef(u, v)[0, 1] for u, v in ((a, b), (a, c), (b, c)))
        formula = (ab - ac * bc) / math.sqrt((1 - ac**2) * (1 - bc**2))
        assert found.value == pytest.approx(formula, abs=1e-10)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_differences_between_strata_do_not_count(method):
    """Within both strata y falls with x; over both it rises. The value is that of what each stratum's means leave."""
    rng = np.random.default_rng(3)
    strata = np.repeat(["a", "b"], [9, 14])
    z = rng.standard_normal(23)
    x = rng.standard_normal(23) + 0.5 * z + 20 * (strata == "b")
    y = -x + 0.3 * z + rng.standard_normal(23) / 2 + 50 * (strata == "b")

    def centred(values):
        out = np.empty(23)
        for part in "ab":
            mine = values[strata == part]
            mine = mine if method == "pearson" else (scipy.stats.rankdata(mine) - 0.5) / len(mine)
            out[strata == part] = mine - mine.mean()
        return out

    a, b, c = (centred(values) for values in (x, y, z))
    expected = {None: np.corrcoef(a, b)[0, 1], "z": np.corrcoef(residuals(a, c), residuals(b, c))[0, 1]}
    assert correlation(x, y, method=method, resamples=50).value > 0.3
    for given, value in expected.items():
        found = correlation(x, y, None if given is None else z, method, 500, strata=strata.tolist())
        assert found.value == pytest.approx(value, abs=1e-10)
        assert found.value < -0.5
        assert -1 < found.low < found.value < found.high < 0
        shifted = correlation(
            x + 7 * (strata == "a"), y, None if given is None else z, method, 500, strata=strata.tolist()
        )
        assert dataclasses.astuple(shifted)[:3] == pytest.approx(dataclasses.astuple(found)[:3], abs=1e-9)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_no_unit_matters(method):
    x, y, z = sample(12)
    expected = correlation(x, y, z, method, 300)
    found = correlation(1e9 + 1e3 * x, 1e-8 * y, -5 * z, method, 300)
    assert dataclasses.astuple(found)[:3] == pytest.approx(dataclasses.astuple(expected)[:3], abs=1e-5)


def bca_by_hand(statistic, x, y, resamples=40_000):
    """The interval with resamples drawn one by one."""
    rng, n, value = np.random.default_rng(9), len(x), statistic(x, y)
    picks = (rng.integers(0, n, n) for _ in range(resamples))
    drawn = np.array([statistic(x[p], y[p]) for p in picks if len(set(p.tolist())) > 1])
    bias = scipy.stats.norm.ppf((drawn < value).mean())
    left = np.array([statistic(np.delete(x, i), np.delete(y, i)) for i in range(n)])
    d = left.mean() - left
    a = (d**3).sum() / (6 * (d**2).sum() ** 1.5)
    z = bias + np.array([-1.959963985, 1.959963985])
    return np.quantile(drawn, scipy.stats.norm.cdf(bias + z / (1 - a * z)))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_the_interval_is_the_bca_interval():
    x, y, _ = sample(15, seed=3)
    found = correlation(x, y, method="pearson", resamples=40_000)
    expected = bca_by_hand(lambda a, b: np.corrcoef(a, b)[0, 1], x, y)
    assert [found.low, found.high] == pytest.approx(expected, abs=0.015)
    assert found.low < found.value < found.high
    other = scipy.stats.bootstrap(
        (x, y), lambda a, b: np.corrcoef(a, b)[0, 1], paired=True, vectorized=False, n_resamples=20_000, rng=1
    )
    assert [found.low, found.high] == pytest.approx(list(other.confidence_interval), abs=0.02)


def test_ranks_of_a_resample_are_ranks_of_the_drawn_points():
    """Repeating points, as a resample does, is the same as weighting them."""
    from satlab.lab.analysis.correlation import _coefficients

    x, y, z = sample(9, seed=5, ties=True)
    times = np.random.default_rng(0).multinomial(9, np.full(9, 1 / 9), size=50)
    for arrays in ([x, y], [x, y, z]):
        found = _coefficients(times.astype(float), arrays, "spearman", np.zeros(9, dtype=np.int64))
        for weights, value in zip(times, found, strict=True):
            a, b, *c = (scipy.stats.rankdata(np.repeat(v, weights)) for v in arrays)
            for given in c:
                a, b = residuals(a, given), residuals(b, given)
            assert value == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-10)


def test_groups_are_drawn_whole():
    """Points repeated within a group add nothing: the interval is that of one point a group."""
    x, y, _ = sample(12, seed=6)
    once = correlation(x, y, method="pearson", resamples=4000)
    runs = np.repeat(np.arange(12), 5).tolist()
    whole = correlation(np.repeat(x, 5), np.repeat(y, 5), method="pearson", resamples=4000, groups=runs)
    assert [whole.value, whole.low, whole.high] == pytest.approx([once.value, once.low, once.high], abs=1e-10)
    assert (whole.n, whole.groups) == (60, 12)
    apart = correlation(np.repeat(x, 5), np.repeat(y, 5), method="pearson", resamples=4000)
    assert apart.high - apart.low < 0.6 * (whole.high - whole.low)


def test_groups_of_different_sizes_and_any_labels():
    x, y, _ = sample(11, seed=7)
    labels = [*"aabbbcdde", None, 3]
    found = correlation(x, y, groups=labels, resamples=500)
    assert found.groups == 7
    assert -1 <= found.low < found.value < found.high <= 1


def test_a_seed_gives_the_same_interval_and_another_one_nearly_so():
    x, y, _ = sample(20)
    assert correlation(x, y, seed=1) == correlation(x, y, seed=1)
    one, other = correlation(x, y, seed=1), correlation(x, y, seed=2)
    assert one != other
    assert [one.low, one.high] == pytest.approx([other.low, other.high], abs=0.03)


def test_blocks_of_resamples_fit_together(monkeypatch):
    x, y, _ = sample(20)
    monkeypatch.setattr("satlab.lab.analysis.correlation.BLOCK", 20 * 64)
    found = correlation(x, y, resamples=1000)
    assert -1 < found.low < found.value < found.high < 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize(
    ("x", "y", "z", "note"),
    [
        ([], [], None, "0 models: no correlation"),
        ([1], [1], None, "1 model: no correlation"),
        ([1, 2], [3, 5], None, "2 models: no correlation"),
        ([1, 2, 3], [3, 5, 4], [1, 0, 0], "3 models: no correlation"),
        ([1, 2, 3, 4, 5, 6], [0.1] * 6, None, "all models have the same value"),
        ([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5], [2, 4, 6, 8, 10, 12], "nothing is left"),
    ],
)
def test_what_has_no_correlation(x, y, z, note, method):
    found = correlation(x, y, z, method, 100)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (-1, 1)
    assert found.note.startswith(note)


@pytest.mark.filterwarnings("error")
def test_too_few_for_an_interval():
    x, y, z = sample(30, seed=1)
    for found, note in (
        (correlation(x[:3], y[:3]), "3 models: fewer than 5 give no interval"),
        (correlation(x[:4], y[:4]), "4 models: fewer than 5 give no interval"),
        (correlation(x, y, groups=[i % 4 for i in range(30)]), "4 runs: fewer than 5 give no interval"),
        (correlation(x[:7], y[:7], z[:7]), "7 models: fewer than 8 give no interval"),
        (correlation(range(6), range(6)), "the resamples agree, or most have no spread: no interval"),
    ):
        assert -1 <= found.value <= 1
        assert (found.low, found.high, found.note) == (-1, 1, note)
    assert correlation(x[:5], y[:5], resamples=200).note == ""
    assert correlation(x[:8], y[:8], z[:8], resamples=200).note == ""


def test_a_constant_third_quantity_changes_nothing():
    x, y, _ = sample(9)
    for method in ("pearson", "spearman"):
        expected, found = correlation(x, y, None, method, 200), correlation(x, y, [7.0] * 9, method, 200)
        assert [found.value, found.low, found.high] == pytest.approx([expected.value, expected.low, expected.high])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2, 3]), "2, 3 values"),
        (([1, 2], [1, 2], [1]), "2, 2, 1 values"),
        (([1, 2], [1, math.nan]), "y holds a number that is not finite"),
        (([1, 2], [1, 2], None, "kendal"), "unknown correlation 'kendal': expected one of: spearman, pearson"),
        (([1, 2], [1, 2], None, "pearson", 0), "resamples is 0"),
        (([1, 2], [1, 2], None, "pearson", 10, 0, ["a"]), "1 group labels"),
        (([1, 2], [1, 2], None, "pearson", 10, 0, None, ["a"]), "2 values with 1 strata"),
    ],
)
def test_wrong_input(arguments, message):
    with pytest.raises(InputError, match=message):
        correlation(*arguments)


def point(run, step, trace, accuracy, kl=0.005, saturated=True, model="bert-1x8", enlarged=None, method="linear"):
    row = {"run": run, "root": run, "step": step, "trace": trace, "accuracy": accuracy, "kl": kl}
    row["saturated"] = saturated
    row |= {"trace_method": "sampled-gradient", "enlarged": enlarged, "enlarged_method": "random-factor"}
    return row | {"model": model, "task": "A", "method": method, "satlab": "0.1.0"}


def test_correlations_of_points():
    rng = np.random.default_rng(0)
    points = [
        point(f"r{i}", step, 10 + rng.normal(), 0.5 + rng.normal(), 0.1 / step, step > 1, f"bert-1x{8 * (1 + i % 2)}")
        for i in range(12)
        for step in (1, 2, 3)
    ]
    points += [point("r0", 4, None, 0.3), point("r0", 5, math.inf, 0.3), point("r0", 6, 7.0, 0.3, None, False)]
    rows = correlations_of(points, resamples=200)
    kinds = [(row["among"], row["model"], row["method"], row["given"], row["n"], row["runs"]) for row in rows]
    assert kinds[:4] == [("saturated", "", m, g, 24, 12) for m in ("spearman", "pearson") for g in ("", "KL")]
    assert kinds[12:16] == kinds[:4]
    assert [row["across"] for row in rows[12:16]] == ["within sizes"] * 4
    assert kinds[16:18] == [
        ("all checkpoints", "", "spearman", "", 37, 12),
        ("all checkpoints", "", "spearman", "KL", 36, 12),
    ]
    assert {(row["model"], row["n"]) for row in rows if row["among"] == "saturated"} == {
        ("", 24),
        ("bert-1x8", 12),
        ("bert-1x16", 12),
    }
    used = [p for p in points if p["saturated"] and p["trace"] and math.isfinite(p["trace"])]
    expected = scipy.stats.spearmanr([p["trace"] for p in used], [p["accuracy"] for p in used])[0]
    assert rows[0]["value"] == pytest.approx(expected, abs=1e-12)
    assert rows[0]["low"] < rows[0]["value"] < rows[0]["high"]
    said = in_words(rows, "A")
    assert [line.split(":")[0] for line in said] == [
        "Saturated models, bert-1x16",
        "Saturated models, bert-1x8",
        "All checkpoints, whose KL differs (6 not saturated), bert-1x16",
        "All checkpoints, whose KL differs (7 not saturated), bert-1x8",
        "Saturated models, within sizes",
        "All checkpoints, whose KL differs (13 not saturated), within sizes",
        "Saturated models, across sizes, where plain Tr(H) is not comparable",
        "All checkpoints, whose KL differs (13 not saturated), across sizes, where plain Tr(H) is not comparable",
    ]
    assert f": n = 24 of 12 runs, Spearman {expected:.2f} [" in said[6]
    assert {(row["trace"], row["estimator"]) for row in rows} == {("trace", "sampled-gradient")}
    assert in_words(rows, "B") == []
    assert in_words(rows, "A linear-adamw") == []


def test_over_several_architectures_it_is_the_trace_inside_the_larger_model():
    """Made so that plain Tr(H) and that inside the larger model go opposite ways with accuracy."""
    points = [
        point(f"{model}-{i}", 1, float(10 * i + size), i / 10, model=model, enlarged=-float(i), method="linear-adamw")
        for size, model in enumerate(("bert-1x8", "bert-1x16"))
        for i in range(6)
    ]
    rows = correlations_of(points, resamples=50)
    pooled = [row for row in rows if not row["model"] and row["across"] != "within sizes"]
    assert {(row["trace"], row["estimator"], row["n"]) for row in pooled} == {("enlarged", "random-factor", 12)}
    assert pooled[0]["value"] == pytest.approx(-1)
    assert {row["probe"] for row in rows} == {"linear-adamw"}
    alone = [row for row in rows if row["model"] and not row["given"]]
    assert {(row["trace"], round(row["value"], 9)) for row in alone} == {("trace", 1.0)}
    assert "across sizes, each inside the same larger model: n = 12" in in_words(rows, "A linear-adamw")[-1]


def test_three_saturated_models_have_no_interval():
    points = [point(f"r{i}", 1, float(i), 0.9 + 0.01 * i, 0.001 * (i % 2)) for i in range(3)]
    rows = correlations_of(points)
    assert [(row["low"], row["high"]) for row in rows] == [(-1, 1)] * 8
    assert rows[0]["note"] == "3 models: fewer than 5 give no interval"
    assert in_words(rows, "A")[0] == "Saturated models: n = 3 of 3 runs, Spearman 1.00 [-1, 1]; Pearson 1.00 [-1, 1]."
    assert correlations_of([]) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "size", "method", "partial", "least"),
    [
        (12, 1, "pearson", False, 0.91),
        (12, 1, "spearman", False, 0.92),
        (15, 1, "spearman", True, 0.91),
        (15, 3, "pearson", False, 0.89),
        (15, 3, "spearman", False, 0.91),
    ],
)
@pytest.mark.parametrize("rho", [0.0, 0.7])
def test_coverage(n, size, method, partial, least, rho):
    """Of the intervals of normal data, in groups that share most of their variance, about 95 % hold the truth."""
    rng, hits, repeats = np.random.default_rng(4), 0, 600
    truth = rho if method == "pearson" else 6 / math.pi * math.asin(rho / 2)
    for seed in range(repeats):
        shared, own = (rng.standard_normal((2, n, width)) for width in (1, size))
        x, y = math.sqrt(0.9) * shared + math.sqrt(0.1) * own
        y = rho * x + math.sqrt(1 - rho**2) * y
        z = rng.standard_normal((n, size)) if partial else None
        runs = np.repeat(np.arange(n), size).tolist()
        found = correlation(x.ravel(), y.ravel(), None if z is None else z.ravel(), method, 1000, seed, runs)
        hits += found.low <= truth <= found.high
    assert least < hits / repeats < 0.99
