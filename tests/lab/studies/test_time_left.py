"""The time that a study still takes, from cells that have ended and from rows of metrics."""

from collections import Counter
from types import SimpleNamespace

import pytest

from satlab.lab.cli.progress import StudyProgress, progress_bar
from satlab.lab.messages import listen
from satlab.lab.studies.time_left import TimeLeft
from satlab.models.ladder import count_parameters


def kl():
    pass


def probe():
    pass


def run(model, steps, rows):
    metrics = [{"step": step, "seconds": seconds} for step, seconds in rows]
    language = SimpleNamespace(vocab_size=8, max_length=8)
    config = SimpleNamespace(steps=steps, batch_size=1)
    return SimpleNamespace(model=model, config=config, metrics=metrics, language=language)


def test_nobody_knows_before_anything_has_ended():
    assert TimeLeft(1).left(Counter({kl: 3}), [run("bert-1x8", 100, [])]) is None


def test_cells_take_the_mean_of_their_kind():
    time = TimeLeft(2)
    time.count(kl, 2.0)
    time.count(kl, 4.0)
    assert time.left(Counter({kl: 4}), []) == pytest.approx(4 * 3.0 / 2)
    assert time.left(Counter({kl: 1, probe: 2}), []) is None
    assert time.left(Counter({kl: 1, probe: 0}), []) == pytest.approx(3.0 / 2)
    time.count(probe, 12.0)
    assert time.left(Counter({kl: 1, probe: 2}), []) == pytest.approx((3.0 + 2 * 12.0) / 2)
    assert time.left(Counter(), []) == 0


def test_training_takes_what_a_step_of_that_size_takes():
    small, wide = run("bert-1x8", 100, [(10, 1.0), (20, 1.0)]), run("bert-1x16", 50, [])
    # A step costs as much as the model has parameters beside its embeddings.
    one, other = (count_parameters(name, 8, 8).without_embeddings for name in ("bert-1x8", "bert-1x16"))
    assert 3 < other / one < 4
    assert TimeLeft(1).left(Counter(), [small, wide]) == pytest.approx(0.1 * (80 + 50 * other / one))


def test_the_time_left_stands_behind_each_cell(capsys, monkeypatch):
    listen()
    with progress_bar(None, "cells") as bar:
        report = StudyProgress(bar)
        report("", 0, 3, None)
        report("train a", 1, 3, None)
        report("b 10: KL 0.2000", 1, 3, None)
        report("kl a", 2, 3, 75.0)
        report("", 2, 3, 70.0)
        monkeypatch.setattr(StudyProgress, "EVERY", 0.0)
        report("b 20: KL 0.1000", 2, 3, 60.0)
        report("flatness a", 3, 3, 0.0)
    assert capsys.readouterr().err.splitlines() == [
        "3 cells; a line for each that ends",
        "[1/3] train a",
        "[2/3] kl a, about 01:15 left",
        "[2/3] b 20: KL 0.1000, about 01:00 left",
        "[3/3] flatness a",
    ]
