"""Code of others in a command: plug-ins that cannot be loaded, and code that ends the process."""

import json
import os
import subprocess
import sys

import pytest

from satlab.lab.cli import main as cli
from satlab.registry import PLUGINS


def process(folder, *arguments, code):
    """A command as a process that finds a plug-in with this code."""
    (folder / "own_measures.py").write_text(code)
    info = folder / "own-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[{PLUGINS}]\nown = own_measures\n")
    given = os.environ | {"PYTHONPATH": str(folder)}
    command = [sys.executable, "-m", "satlab", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=folder, env=given, timeout=180)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import sys; print('{}'); sys.exit('missing licence')", "missing licence"),
        pytest.param("import sys; print('{}'); sys.exit(0)", "it calls sys.exit(0)", marks=pytest.mark.slow),
    ],
)
def test_a_plug_in_that_ends_the_process_is_left_out(code, said, tmp_path):
    done = process(tmp_path, "models", "--json", code=code)
    assert done.returncode == 0
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) > 1
    assert {} not in rows
    printed, warning = done.stderr.splitlines()
    assert printed == "{}"
    assert warning == f"satlab: warning: plug-in own (own_measures) cannot be loaded: {said}; it is left out"


class OddError(BaseException):
    """What no one catches who catches every Exception."""


@pytest.mark.parametrize("code", [0, None, 3, "missing licence"])
def test_code_that_ends_the_process_ends_no_command_as_if_it_were_done(code, refused, monkeypatch):
    def run(given):
        raise SystemExit(code)

    monkeypatch.setattr(cli.COMMANDS["models"], "run", run)
    said = f"called sys.exit({code or 0!r}) before the command was done; leave the plug-in out, or run with --traceback"
    refused("models", said, status=1)


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (SystemExit(0), 0, ""),
        (SystemExit(), 0, ""),
        (SystemExit(3), 3, ""),
        (SystemExit("a text"), 1, "satlab: a text\n"),
        (OddError("odd"), 1, "satlab: unexpected OddError: odd"),
    ],
)
def test_the_process_ends_in_one_line_whatever_is_raised(raised, status, said, capsys, monkeypatch):
    def run(arguments):
        raise raised

    monkeypatch.setattr(cli, "run", run)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    out, err = capsys.readouterr()
    assert (stop.value.code, out, err[: len(said)], err.count("\n")) == (status, "", said, bool(said))
