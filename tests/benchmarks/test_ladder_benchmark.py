"""The ladder of languages: a short run to the end, and once more without work."""

import csv
import sys

import pytest
from support.benchmark_scripts import loaded


@pytest.fixture
def ladder(monkeypatch):
    with loaded("ladder") as module:
        monkeypatch.setattr(module, "MODEL", "bert-1x8")
        monkeypatch.setattr(module, "LADDERS", {"states": {"demo-hmm": 4}})
        yield module


def test_a_rung_is_trained_once_and_leaves_its_line(ladder, monkeypatch, tmp_path):
    command = ["ladder", "--steps", "20", "--threshold", "5", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    ladder.main()
    with (tmp_path / "ladder-cpu.csv").open() as file:
        (line,) = csv.DictReader(file)
    assert (line["ladder"], line["size"], line["language"], line["saturated"]) == ("states", "4", "demo-hmm", "True")
    assert int(line["sentences"]) == 256 * int(line["steps"])
    with (tmp_path / "ladder-metrics-cpu.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert rows[-1]["sentences"] == line["sentences"]
    assert (tmp_path / "ladder-cpu.png").stat().st_size > 1000
    before = (tmp_path / "demo-hmm" / "metrics.jsonl").read_bytes()
    ladder.main()
    assert (tmp_path / "demo-hmm" / "metrics.jsonl").read_bytes() == before
