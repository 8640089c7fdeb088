"""The table of what lies above the predicted KL follows from the committed rows of `satlab drift`."""

import csv
import math
import statistics

import pytest
from support import ROOT

RESULTS = ROOT / "docs" / "results"
STUDIES = ("liu2022-theorem-4.3", "liu2022-theorem-4.3-hmm")


def rows_of(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def number(row, name):
    return float(row[name])


def split(study):
    """For each clock: the mean excess of KL over eta Tr(H) / (4 B), and its parts.

    The finite step is floor_of_step less floor: the sum of share (eta l^2 / 2) / (1 - eta l / 2), share = eta / (4 B).
    What the model missed at the start is KL at step 0. The variance of one run's KL, `kl_spread` squared, is the sum of
    2 share^2 (l / (1 - eta l / 2))^2: at least 4 share / eta = 1 / B times the finite step.
    """
    start, moved = {}, {}
    for row in rows_of(RESULTS / study / "drift.csv"):
        if row["step"] == "0":
            start[row["run"]] = number(row, "kl")
        else:
            moved.setdefault(round(number(row, "clock"), 6), []).append(row)
    for clock, rows in sorted(moved.items()):
        n = len(rows)
        excess = [number(row, "kl") - number(row, "floor") for row in rows]
        step = [number(row, "floor_of_step") - number(row, "floor") for row in rows]
        missed = [start[row["run"]] for row in rows]
        swing = [math.sqrt(one / number(row, "batch_size")) for one, row in zip(step, rows, strict=True)]
        rest = [a - b - c for a, b, c in zip(excess, step, missed, strict=True)]
        scores = [one / by for one, by in zip(rest, swing, strict=True)]
        yield {
            "study": study,
            "clock": clock,
            "excess": statistics.fmean(excess),
            "finite_step": statistics.fmean(step),
            "start_kl": statistics.fmean(missed),
            "rest": statistics.fmean(rest),
            "rest_expected_stderr": math.sqrt(sum(one**2 for one in swing)) / n,
            "rest_over_swing": statistics.fmean(scores),
            "rest_over_swing_deviation": statistics.stdev(scores),
            "n": n,
        }


@pytest.mark.parametrize("study", STUDIES)
def test_the_parts_of_the_excess_are_those_of_the_rows(study):
    known = [row for row in rows_of(RESULTS / "liu2022-theorem-4.3-excess.csv") if row["study"] == study]
    found = list(split(study))
    assert len(known) == len(found) == 3
    for row, one in zip(known, found, strict=True):
        assert row.keys() == one.keys()
        for name in row.keys() - {"study"}:
            assert float(row[name]) == pytest.approx(one[name], abs=6e-6)


@pytest.mark.parametrize("study", STUDIES)
def test_the_page_shows_these_parts(study):
    page = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    names = ("excess", "finite_step", "start_kl", "rest", "rest_expected_stderr")
    for row in rows_of(RESULTS / "liu2022-theorem-4.3-excess.csv"):
        if row["study"] == study:
            language = "demo-hmm" if study.endswith("hmm") else "demo-pcfg"
            shown = " | ".join(f"{1000 * number(row, name):.2f}" for name in names)
            assert f"| {language} | {row['clock']} | {shown} |" in page


@pytest.mark.parametrize("study", STUDIES)
def test_the_parts_leave_no_more_than_chance(study):
    for one in split(study):
        assert abs(one["rest"]) < 3 * one["rest_expected_stderr"]
