"""Experiments: cells are computed once, whole or not at all, and a figure is drawn from their rows."""

import json

import pytest

from satlab.errors import InputError
from satlab.lab.cli import main as cli
from satlab.lab.measurements.experiment import ROWS, run_experiment
from satlab.spec import parse_spec
from satlab.theory.experiment import experiments

SMALL = "drift:replicas=2,points=1,clock=1,etas=0.2,batches=4,noises=exact"
BRACKETS = (
    "brackets:lengths=4,searched_lengths=4,neurons=4,steps=3,noisy_steps=4,networks=2,draws=20,sentences=2 10,dead=3"
)


def test_rows_and_figure_are_there_and_are_not_computed_again(tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    assert cli.run(["experiment", SMALL, "--out", str(out)]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {row["label"] for row in rows} == {
        "ODE, factor 1/4",
        "ODE, factor 1/2",
        "SGD, eta 0.2, B 1",
        "SGD, eta 0.2, B 4",
        "noise exact",
    }
    assert sorted(path.name for path in out.iterdir()) == ["drift.csv", "drift.pdf", "drift.png", ROWS]
    monkeypatch.setattr(experiments["drift"], "rows", lambda *_: pytest.fail("computed again"))
    assert cli.run(["experiment", SMALL, "--out", str(out)]) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == rows


def test_what_was_interrupted_goes_on_with_the_cell(tmp_path, monkeypatch):
    kind, done = experiments["brackets"], []
    plain = kind.rows

    def twice(self, cell):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(cell)
        return plain(self, cell)

    monkeypatch.setattr(kind, "rows", twice)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(BRACKETS, tmp_path)
    monkeypatch.setattr(kind, "rows", lambda self, cell: done.append(cell) or plain(self, cell))
    rows = run_experiment(BRACKETS, tmp_path)
    assert done == list(parse_spec(BRACKETS, experiments).cells())
    assert {row["cell"] for row in rows} == set(done)
    averaging = next(row for row in rows if row["cell"] == "T 4, averaging")
    assert averaging["ratio"] == pytest.approx(1)
    assert averaging["alive"] == averaging["averaging"] == 2


@pytest.mark.parametrize(
    ("spec", "fragments"),
    [
        ("drif", ["experiment", "drift"]),
        ("drift:etas=0.1 -1", ["etas has '-1'", "expected positive numbers"]),
        ("drift:etas=3", ["eta is 3", "largest eigenvalue of H is 1.46"]),
        ("drift:noises=white", ["noise 'white'"]),
        ("drift:replicas=1", ["replicas is 1, expected at least 2"]),
        ("brackets:lengths=5", ["length is 5, expected an even number"]),
        ("brackets:sentences=ten", ["sentences has 'ten'"]),
    ],
)
def test_bad_settings_are_one_line_and_write_nothing(spec, fragments, tmp_path, capsys):
    assert cli.run(["experiment", spec, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert all(fragment in said for fragment in fragments), said
    assert not (tmp_path / "out").exists()


def test_a_directory_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        run_experiment(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
