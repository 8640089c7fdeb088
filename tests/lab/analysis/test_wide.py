"""Means over seeds: their error where all are measured on the same sentences, and seeds that ended early."""

import csv
import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
from support.published_rows import MODELS, TASKS, entry, measured, row, run

from satlab.estimate import Estimate
from satlab.lab.analysis.model_table import between_seeds, fewer_seeds, last_of_each, over_seeds, wide_rows
from satlab.lab.analysis.published import compare, read_published, write_comparison
from satlab.lab.figures.paper import FORMS, draw_forms


def test_the_error_of_a_level_and_of_a_difference_is_what_repeating_it_would_show():
    """Two models, three trainings each, measured with an error that all six share: repeated 20,000 times."""
    rng = np.random.default_rng(0)
    between, shared, repeats = 0.02, 0.05, 20_000
    levels, differences, level_errors, difference_errors = [], [], [], []
    for _ in range(repeats):
        error = shared * rng.normal()
        models = [
            [{"x": Estimate(0.5 + error + between * rng.normal(), shared, 100)} for _ in range(3)] for _ in range(2)
        ]
        level, apart = over_seeds(models[0], "x"), [between_seeds(model, "x") for model in models]
        assert level.n == 3
        levels.append(level.value)
        level_errors.append(level.stderr**2)
        differences.append(apart[0].value - apart[1].value)
        difference_errors.append(apart[0].stderr ** 2 + apart[1].stderr ** 2)
    # The variance of 20,000 normal numbers is known to 1 %.
    assert np.mean(level_errors) == pytest.approx(between**2 / 3 + shared**2, rel=0.01)
    assert np.var(levels) == pytest.approx(np.mean(level_errors), rel=0.04)
    assert np.var(differences) == pytest.approx(np.mean(difference_errors), rel=0.04)


def test_a_level_whose_measurement_has_no_error_known_has_none():
    rows = [{"x": Estimate(1.0, math.nan, 5)}, {"x": Estimate(2.0, 0.1, 5)}]
    assert math.isnan(over_seeds(rows, "x").stderr)


def stopped(parent, stop_at_saturation=False):
    """Three seeds of a model, of which seed 2 has no checkpoint after step 20, and a model of two whole ones."""
    runs, rows = measured(parent)
    third = run("plain", 2, parent, (10, 20))
    third.metrics[-1]["saturated"] = True
    third.config.stop_at_saturation = stop_at_saturation
    rows += [row(third, step, "kl", 0.01) for step in (10, 20)]
    rows += [row(third, step, "probe", 0.1, task=task) for step in (10, 20) for task in TASKS]
    rows += [row(third, step, "hessian_trace", 5.0, block="total") for step in (10, 20)]
    return wide_rows([*runs, third], rows), rows


def test_a_seed_that_stopped_before_the_others_is_left_out_and_that_is_said(tmp_path):
    wide, rows = stopped(tmp_path)
    last = [r for r in last_of_each(wide) if r["name"] == "plain"]
    assert [(r["run"], r["step"]) for r in last] == [("plain-seed0", 40), ("plain-seed1", 40)]
    assert over_seeds(last, "accuracy A").value == pytest.approx(0.905)
    assert fewer_seeds(last) == "2 of 3 seeds"
    assert fewer_seeds([r for r in last_of_each(wide) if r["name"] == "spoilt"]) == ""
    draw_forms(["table", "training"], wide, rows, TASKS, tmp_path / "out")
    table = (tmp_path / "out" / "paper-table.md").read_text()
    (line,) = [line for line in table.splitlines() if line.startswith("| plain |")]
    assert line.endswith("| yes, 2 of 3 seeds |")
    numbers = list(csv.DictReader((tmp_path / "out" / "paper-training.csv").open()))
    at = {r["at"]: r["trainings"] for r in numbers if (r["name"], r["quantity"]) == ("plain", "loss")}
    assert at == {"10": "3", "20": "3", "40": "2"}
    found = compare(read_published([entry()], MODELS, TASKS), wide, rows)
    assert (found[0]["n"], found[0]["seeds"]) == (2, 3)
    write_comparison(found, tmp_path, "x")
    assert "(n = 2 of 3)" in (tmp_path / "published-x.md").read_text()


@pytest.mark.parametrize(("form", "said"), [("training", "plain (2 of 3 seeds)"), ("sizes", "plain\n2 of 3 seeds")])
def test_a_figure_says_of_how_many_seeds_a_mean_is(tmp_path, form, said):
    wide, rows = stopped(tmp_path)
    figure, _ = FORMS[form](wide, rows, TASKS)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    texts += [label for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    assert said in texts
    plt.close("all")


def test_seeds_that_ended_by_themselves_at_saturation_all_count(tmp_path):
    wide, _ = stopped(tmp_path, stop_at_saturation=True)
    last = [r for r in last_of_each(wide) if r["name"] == "plain"]
    assert [r["step"] for r in last] == [40, 40, 20]
    assert fewer_seeds(last) == ""
