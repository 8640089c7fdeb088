"""The figures of the theorems on next-word prediction, from rows alone."""

import json
from itertools import product

import matplotlib.pyplot as plt
import pytest

from satlab.lab.figures.next_word import BOUNDS, EPSILON, next_word_jobs


def row(block, value, right, step=1, run="a", method="saunshi", **settings):
    named = {"run": run, "step": step, "what": "theorem", "method": method, "block": block, "n": 10}
    sides = {"value": value, "stderr": 0.01, "right": right, "right_stderr": 0.02}
    return named | sides | {"settings": json.dumps({"task": "state", "words": None} | settings)}


def bounds_rows(**settings):
    found = []
    for step, epsilon in ((1, 0.5), (2, 0.1), (3, 0.02)):
        found.append(row(EPSILON, epsilon, epsilon, step, **settings))
        for number, link in enumerate(dict.fromkeys(link for link, _ in BOUNDS.values()), start=1):
            found.append(row(link, epsilon / number, epsilon**0.5 * number, step, **settings))
    return found


def test_no_rows_no_figures():
    assert next_word_jobs([{"what": "kl", "method": "exact-truth"}]) == []


def test_bounds_are_drawn_task_by_task_and_their_numbers_are_the_rows():
    jobs = dict(next_word_jobs(bounds_rows() + bounds_rows(task="block")))
    assert list(jobs) == ["saunshi-bounds", "saunshi-bounds-2"]
    figure, numbers = jobs["saunshi-bounds"]()
    plt.close(figure)
    assert len(numbers) == 3 * len(BOUNDS)
    assert {json.loads(one["settings"])["task"] for one in numbers} == {"state"}
    excess = [one for one in numbers if one["quantity"] == "excess"]
    assert [(one["epsilon"], one["value"], one["stderr"]) for one in excess] == [
        (0.5, 0.5, 0.01),
        (0.1, 0.1, 0.01),
        (0.02, 0.02, 0.01),
    ]


def test_gamma_is_drawn_by_length_from_the_last_checkpoint():
    link = "unconstrained: gamma <= gamma_Delta"
    rows = [row(link, 0.1, 0.2 + step / 100, step, words=words) for words in (1, 2) for step in (1, 5)]
    figure, numbers = dict(next_word_jobs(rows))["saunshi-gamma"]()
    plt.close(figure)
    assert {(one["words"], one["quantity"], one["value"]) for one in numbers} == {
        (1, "gamma", 0.1),
        (1, "gamma_Delta", 0.25),
        (2, "gamma", 0.1),
        (2, "gamma_Delta", 0.25),
    }


@pytest.mark.parametrize("seeds", [1, 3])
def test_representations(seeds):
    rows = []
    for run in "abc"[:seeds]:
        for name in ("features", "truth"):
            rows.append(
                row(f"{name}: entropy of the label <= cross-entropy", 0.5, 0.6, run=run, method="saunshi-features")
            )
            rows.append(row(f"{name}: least mistakes <= mistakes", 0.1, 0.2, run=run, method="saunshi-features"))
    figure, numbers = dict(next_word_jobs(rows))["saunshi-features"]()
    plt.close(figure)
    assert len(numbers) == 4 * seeds
    assert {(one["quantity"], one["value"], one["least"]) for one in numbers} == {
        ("cross-entropy", 0.6, 0.5),
        ("mistakes", 0.2, 0.1),
    }


def test_log_z():
    link = "log Z, fresh contexts: 1 - R2 of the fit <= of the expansion"
    rows = [row(link, 0.01 / step, 0.5, step, method="saunshi-log-partition") for step in (1, 10)]
    rows.append(
        row("log Z, fitted contexts: 1 - R2 of the fit <= of the expansion", 0.0, 0.5, method="saunshi-log-partition")
    )
    figure, numbers = dict(next_word_jobs(rows))["saunshi-log-partition"]()
    plt.close(figure)
    assert sorted((one["form"], one["value"]) for one in numbers) == [
        ("expansion", 0.5),
        ("expansion", 0.5),
        ("fit", 0.001),
        ("fit", 0.01),
    ]


def test_log_z_against_its_fit():
    name = "log Z at fresh context {}: log Z = fit"
    given = {"method": "saunshi-log-partition", "points": 2}
    rows = [row(name.format(i), 3.0 + i, 3.1 + i, step, **given) for step in (1, 9) for i in (1, 2)]
    rows.append(row("log Z, fresh contexts: 1 - R2 of the fit <= of the expansion", 0.01, 0.5, 9, **given))
    figure, numbers = dict(next_word_jobs(rows))["saunshi-log-z"]()
    (line,) = [one for one in figure.axes[0].lines if one.get_label() == "y = x"]
    assert list(line.get_xdata()) == list(line.get_ydata()) == [4.0, 5.1]
    plt.close(figure)
    assert [(one["step"], one["context"], one["log_z"], one["fit"]) for one in numbers] == [
        (9, 1, 4.0, 4.1),
        (9, 2, 5.0, 5.1),
    ]


@pytest.mark.parametrize("tasks", [1, 4])
def test_tau_against_the_bound_task_by_task(tasks):
    rows = []
    for run, task, bound in product("ab", range(tasks), (0.5, 8.0)):
        given = {"run": run, "method": "saunshi-natural", "task": f"task{task}", "loss": "logistic"}
        rows.append(row(f"B = {bound:g}: least loss <= tau", 0.1, 1 / bound, **given))
        rows.append(row(f"B = {bound:g}: tau <= tau_Phi", 1 / bound, 2 / bound, **given))
    figure, numbers = dict(next_word_jobs(rows))["saunshi-natural"]()
    assert sum(axes.get_visible() for axes in figure.axes) == tasks
    plt.close(figure)
    assert len(numbers) == 2 * tasks * 2 * 3
    first = [one for one in numbers if (one["run"], one["bound"]) == ("a", 0.5)][:3]
    assert [(one["quantity"], one["value"], one["stderr"]) for one in first] == [
        ("least", 0.1, 0.01),
        ("tau", 2.0, 0.02),
        ("tau_Phi", 4.0, 0.02),
    ]
