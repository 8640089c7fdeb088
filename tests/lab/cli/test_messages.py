"""How much a command says: --quiet nothing but errors, --verbose also what it does; stdout holds results alone."""

import json
import logging
import shlex
import subprocess
import sys

import pytest

from satlab.lab.cli import main as cli
from satlab.lab.studies.config import STUDIES

TRAIN = ["demo-hmm", "--steps", "2", "--batch_size", "4", "--evaluation_sentences", "20", "--model", "bert-1x8"]


@pytest.fixture
def satlab(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty directory; (rows on stdout, lines on stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments, status=0):
        assert cli.run(list(arguments)) == status
        captured = capsys.readouterr()
        return [json.loads(row) for row in captured.out.splitlines()], captured.err.splitlines()

    yield run
    logging.getLogger("satlab").setLevel(logging.INFO)


def test_the_last_line_says_where_results_are_and_what_comes_next(satlab):
    _, said = satlab("train", *TRAIN, "--out", "r")
    assert [line.startswith("satlab: warning: not saturated") for line in said] == [False, True, False]
    assert said[-1] == (
        "satlab: results are in r; next: satlab evaluate r, or satlab probe r --task NAME, or satlab flatness r"
    )
    _, said = satlab("evaluate", "r", "--sentences", "9")
    assert said == ["satlab: results are in r/results.jsonl; next: satlab plot r, or satlab report r"]
    assert satlab("floor", "demo-hmm", "--sentences", "9")[1] == []


@pytest.mark.parametrize("place", [0, 1, 3])
def test_quiet_says_nothing_but_errors(satlab, place):
    line = ["train", *TRAIN, "--out", "r"]
    rows, said = satlab(*line[:place], "--quiet", *line[place:])
    assert (len(rows), said) == (1, [])
    _, said = satlab("evaluate", "nowhere", "--quiet", status=2)
    assert len(said) == 1


@pytest.mark.parametrize("option", ["-v", "--verbose"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_verbose_says_what_is_done(satlab, option, place):
    line = ["floor", "demo-hmm", "--sentences=9"]
    rows, said = satlab(*line[:place], option, *line[place:])
    assert len(rows) == 1
    assert all(text.startswith("satlab: debug: ") for text in said)
    assert "floor, language demo-hmm, max_length None, sentences 9" in said[0]
    assert said[-1].startswith("satlab: debug: floor took ")


def test_one_of_the_two(satlab):
    _, said = satlab("floor", "demo-hmm", "--quiet", "-v", status=2)
    assert said == ["satlab: --quiet together with --verbose: expected one of the two; leave one out"]


def test_what_follows_two_hyphens_is_no_option(satlab):
    _, said = satlab("floor", "--", "--quiet", status=2)
    assert "--quiet" in said[0]


def test_processes_that_are_started_say_as_much():
    code = (
        "from satlab.lab.messages import follow, is_quiet, listen\nimport subprocess, sys\nlisten(quiet=True)\n"
        "code = 'from satlab.lab.messages import follow, is_quiet; follow(); print(is_quiet())'\n"
        "print(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "True"


NAME = "b>&\"copy of $HOME'"


def test_the_commands_offered_next_are_lines_for_a_shell(satlab, tmp_path):
    """Each offered command, split as a shell does, names the directory."""
    said = [
        satlab("train", *TRAIN, "--out", NAME)[1][-1],
        satlab("evaluate", NAME, "--sentences", "9")[1][-1],
        satlab("plot", NAME, NAME)[1][-1],
        satlab("generate", "demo-hmm", "--sentences", "5", "--out", f"c {NAME}")[1][-1],
    ]
    offered = [command for line in said for command in line.partition("; next: ")[2].split(", or ")]
    assert len(offered) == 8
    for command in offered:
        assert any(word.endswith(NAME) for word in shlex.split(command)), command
    (tmp_path / f"c {NAME}" / "shard-00000.parquet").unlink()
    _, error = satlab("train", f"c {NAME}", *TRAIN[1:], "--out", "new", status=2)
    assert shlex.quote(f"c {NAME}") in error[-1]


def test_every_shipped_study_is_named_in_the_help(capsys):
    with pytest.raises(SystemExit):
        cli.run(["study", "--help"])
    told = "".join(capsys.readouterr().out.split())
    names = [path.stem for path in STUDIES.glob("*.yaml")]
    assert len(names) > 20
    assert [name for name in names if name not in told] == []
