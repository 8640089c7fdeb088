"""satlab flatness --method NAME, for every name: rows of a run's checkpoint, taken once."""

import json
import shlex

import pytest

from satlab.flatness import flatness_measures
from satlab.lab.cli import main as cli
from satlab.registry import settings_of

SMALL = "--steps 2 --batch_size 8 --evaluate_every 2 --evaluation_sentences 20"
WHAT = {
    "residual": "hessian_residual",
    "lanczos": "eigenvalue",
    "lanczos-gauss-newton": "eigenvalue",
    "sharpness": "sharpness",
    "invariance": "rescaled_trace",
}


@pytest.fixture(scope="module", params=["bert-1x8", "lstm-1x4", "gpt-1x8"])
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r"
    assert cli.run(["train", "demo-pcfg", "--model", request.param, "--out", str(folder), *shlex.split(SMALL)]) == 0
    return folder


def measured(run, capsys, arguments):
    capsys.readouterr()
    status = cli.run(["flatness", str(run), *shlex.split(arguments)])
    captured = capsys.readouterr()
    return status, [json.loads(line) for line in captured.out.splitlines()], captured.err


@pytest.mark.parametrize("method", list(flatness_measures))
def test_every_method_ends_in_rows(run, capsys, method):
    given = {"probes": 6, "targets": "exact", "eigenvalues": 2, "iterations": 60, "radii": "[0.1]"}
    own = {setting.name for setting in settings_of(flatness_measures[method])}
    line = f"--method {method} --contexts 12 " + " ".join(f"--{name} {given[name]}" for name in given if name in own)
    status, rows, _ = measured(run, capsys, line)
    assert status == 0
    assert measured(run, capsys, line)[1] == rows
    assert {row["what"] for row in rows} == {WHAT.get(method, "hessian_trace")}
    assert {row["method"] for row in rows} == {method}
    assert all(row["stderr"] is not None and row["n"] > 1 for row in rows)
    blocks = [row["block"] for row in rows]
    assert len(set(blocks)) == len(blocks)
    if method == "sharpness":
        assert blocks == ["random 0.1", "sam 0.1"]
        assert {row["unit"] for row in rows} == {"nats"}
        return
    whole = {"lanczos": ["1", "2"], "lanczos-gauss-newton": ["1", "2"], "invariance": ["0.5", "1", "2"]}
    for total in whole.get(method, ["total"]):
        prefix = "" if total == "total" else f"{total}/"
        parts = [row["value"] for row in rows if row["block"].startswith(prefix) and "/" in row["block"]]
        parts = parts if prefix else [row["value"] for row in rows if row["block"] != "total"]
        (value,) = [row["value"] for row in rows if row["block"] == total]
        assert sum(parts) == pytest.approx(value, rel=1e-4, abs=1e-6)
    if "lanczos" in method:
        assert all(row["bound"] >= 0 for row in rows)
    if method == "invariance":
        assert all(row["logit_change"] < 1e-4 for row in rows)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--method lanzcos", ["unknown flatness method", "did you mean 'lanczos'"]),
        ("--method hutchinson --contexts 5", ["probes is 100", "5 contexts", "at most as many"]),
        ("--targets soft", ["unknown targets 'soft'", "sampled"]),
        ("--probes 1", ["probes is 1", "at least 2"]),
        ("--radii [-1]", ["radii is [-1.0]", "expected positive numbers"]),
        ("--scales []", ["scales is []", "expected positive numbers"]),
        ("--eigenvalues 0", ["eigenvalues is 0", "at least 1"]),
        (
            "--method random-factor --radii [0.1]",
            ["radii is [0.1] with method random-factor", "belongs to sharpness", "leave"],
        ),
        ("--method lanczos --draws 9", ["draws is 9 with method lanczos, which has no such setting"]),
        ("--method random-factor --targets exact", ["targets is exact with method random-factor"]),
    ],
)
def test_bad_settings_write_nothing(run, capsys, arguments, words):
    results = run / "results.jsonl"
    before = results.read_bytes() if results.exists() else None
    status, rows, err = measured(run, capsys, arguments)
    assert status == 2
    assert rows == []
    assert len(err.strip().splitlines()) == 1
    assert all(word in err for word in words)
    assert (results.read_bytes() if results.exists() else None) == before
