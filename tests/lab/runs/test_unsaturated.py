"""A model that is not saturated is named where it is measured."""

import pytest
from support.disturbed import SHORT, command
from support.hints import without_hint

from satlab.lab.cli import main as cli
from satlab.lab.runs.run import load_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unsaturated") / "r"
    assert cli.run(command(SHORT, folder)) == 0
    return folder


MEASURED = ["flatness RUN --contexts 20", "probe RUN --task state-2 --train-sentences 60 --test-sentences 50 --seeds 1"]


@pytest.mark.parametrize("line", MEASURED)
def test_measuring_says_which_checkpoints_are_not(run, capsys, line):
    capsys.readouterr()
    assert cli.run(line.replace("RUN", str(run)).split()) == 0
    err = without_hint(capsys.readouterr().err)
    last = load_run(run).metrics[-1]
    assert err.count("\n") == 1
    assert err.startswith("satlab: warning: not saturated, so their loss differs from that of others: step 4 (KL ")
    assert f"step 14 (KL {last['kl']:.4g} +- {last['kl_stderr']:.2g}), threshold 0.01; " in err


@pytest.mark.parametrize("line", MEASURED)
def test_nothing_is_said_of_saturated_ones(run, capsys, monkeypatch, line):
    monkeypatch.setattr("satlab.lab.analysis.notices.is_saturated", lambda kl, threshold: True)
    capsys.readouterr()
    assert cli.run(line.replace("RUN", str(run)).split()) == 0
    assert without_hint(capsys.readouterr().err) == ""
