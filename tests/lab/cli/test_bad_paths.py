"""Paths that cannot be used, too long, in a circle or under a file, are one line in every command, and status 2."""

import errno
import os

import pytest

from satlab.lab.cli import main as cli

LONG = "x" * 300
TREES = "(S (A a))\n"

LINES = [
    "generate {bad} --sentences 5 --out new",
    "generate {bad}.pcfg --sentences 5 --out new",
    "generate {bad}.yaml --sentences 5 --out new",
    "generate demo-hmm --sentences 5 --out {bad}",
    "generate demo-hmm --sentences 5 --out {bad}/new",
    "verify {bad}",
    "floor {bad}",
    "show {bad}",
    "show demo-hmm --samples 20 --png {bad}.png",
    "induce {bad} --out new.pcfg",
    "induce trees.mrg --out {bad}.pcfg",
    "induce trees.mrg --out {bad}/new.pcfg",
    "train {bad} --out new",
    "train demo-hmm --out {bad}",
    "train demo-hmm --out {bad}/new",
    "train demo-hmm --out new --config {bad}",
    "evaluate {bad}",
    "probe {bad} --task state-1",
    "flatness {bad}",
    "study {bad} --out new",
    "study {bad}.yaml --out new",
    "study demo --out {bad}",
    "plot {bad}",
    "plot {bad}/new",
    "report {bad}",
    "report {bad}/new",
]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with a file of trees, one that is none, and links in a circle, with each suffix that is asked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trees.mrg").write_text(TREES)
    for suffix in ("", ".pcfg", ".yaml", ".png"):
        os.symlink(f"circle{suffix}", f"circle{suffix}")
        (tmp_path / f"file{suffix}").mkdir() if suffix else (tmp_path / "file").write_text("mine")
    return tmp_path


@pytest.mark.parametrize("bad", [LONG, "circle", "file"])
@pytest.mark.parametrize("line", LINES)
def test_a_path_that_cannot_be_used(line, bad, place, refused):
    assert len(refused(line.format(bad=bad), bad[:150])) < 900


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENAMETOOLONG, 2),
        (errno.ELOOP, 2),
        (errno.EROFS, 2),
        (errno.EACCES, 2),
        (errno.ENOSPC, 1),
        (errno.EDQUOT, 1),
        (errno.EIO, 1),
    ],
)
def test_which_errors_are_of_the_path_and_which_of_the_disk(number, status, place, capsys, monkeypatch):
    def failing(*_):
        raise OSError(number, os.strerror(number), "new/file")

    monkeypatch.setattr(cli.COMMANDS["verify"], "run", failing)
    assert cli.run(["verify", "new"]) == status
    error = capsys.readouterr().err
    assert error.startswith(f"satlab: new/file: {os.strerror(number)}; ")
    assert ("make room" in error) == (status == 1)


FILES = [
    "show demo-hmm --samples 20 --png {bad}.png",
    "induce trees.mrg --out {bad}.pcfg",
    "report run --out {bad}.html",
]


@pytest.mark.parametrize("line", FILES)
def test_a_pipe_is_no_file_to_replace(line, place, refused):
    for suffix in (".png", ".pcfg", ".html"):
        os.mkfifo(f"pipe{suffix}")
    refused(line.format(bad="pipe"), "pipe.", "a pipe, expected a file or a new name; choose another place")
    assert all((place / f"pipe{suffix}").is_fifo() for suffix in (".png", ".pcfg", ".html"))


@pytest.mark.parametrize("line", FILES[:2])
def test_a_link_given_as_output_stays_and_its_file_is_written(line, place, satlab):
    (place / "far").mkdir()
    for suffix in (".png", ".pcfg"):
        (place / f"link{suffix}").symlink_to(place / "far" / f"it{suffix}")
    satlab(line.format(bad="link"))
    assert all((place / f"link{suffix}").is_symlink() for suffix in (".png", ".pcfg"))
    (written,) = (place / "far").iterdir()
    assert written.stat().st_size > 20
