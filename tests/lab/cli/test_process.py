"""The command as a process: closed and full streams, encodings, locales, optimisation, users without a home."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from satlab.lab.cli.environment import AS_GIVEN

FLOOR = "floor demo-pcfg --sentences 20"
FOUND = {"language": "demo-pcfg", "max_length": 8, "masking": "one", "n": 20, "seed": 0}


def satlab(line, folder, redirected="", most=1, **environment):
    """(status, stdout, stderr), bytes, of a command in a shell; an environment variable that is None is taken away."""
    given = {name: value for name, value in (os.environ | environment).items() if value is not None}
    command = f"{shlex.quote(sys.executable)} -m satlab {line} {redirected}"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, cwd=folder, env=given, timeout=180)
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") <= most
    return done.returncode, done.stdout, done.stderr


NOWHERE = dict.fromkeys(("HOME", "NUMBA_CACHE_DIR", "XDG_CACHE_HOME"), "/proc/nowhere")
ENVIRONMENTS = [
    {"PYTHONWARNINGS": "error", "MPLBACKEND": "module://nowhere"} | NOWHERE,
    pytest.param({"NUMBA_DISABLE_JIT": "1"}, marks=pytest.mark.slow),
    pytest.param({"PYTHONOPTIMIZE": "2"}, marks=pytest.mark.slow),
    pytest.param({"PYTHONIOENCODING": "ascii"}, marks=pytest.mark.slow),
    pytest.param({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, marks=pytest.mark.slow),
    pytest.param({"LC_ALL": "POSIX", "LANG": None}, marks=pytest.mark.slow),
    pytest.param({"HOME": None}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("environment", ENVIRONMENTS, ids="-".join)
def test_the_environment_changes_nothing(environment, tmp_path):
    status, out, err = satlab(FLOOR, tmp_path, **environment)
    assert (status, err) == (0, b"")
    row = json.loads(out)
    assert {name: row[name] for name in FOUND} == FOUND
    assert row["floor_nats"] == pytest.approx(1.6909307735879424, abs=1e-12)
    assert list(tmp_path.iterdir()) == []


CLOSED = [
    ("floor nowhere", "2>&-", 2, b""),
    pytest.param("models --json", ">&-", 1, b"satlab: standard output: Bad file", marks=pytest.mark.slow),
    ("models --json", ">/dev/full", 1, b"satlab: standard output: No space left on device"),
    pytest.param(FLOOR, ">/dev/full", 1, b"satlab: standard output: No space left on", marks=pytest.mark.slow),
    pytest.param("show demo-hmm", ">/dev/full", 1, b"satlab: standard output: No space left", marks=pytest.mark.slow),
    pytest.param("train --help", ">/dev/full", 1, b"satlab: standard output: No space left", marks=pytest.mark.slow),
    pytest.param("train --help", "| head -1", 0, b"", marks=pytest.mark.slow),
    pytest.param("floor nowhere", "2>/dev/full", 2, b"", marks=pytest.mark.slow),
    pytest.param(FLOOR, ">&- 2>&- <&-", 0, b"", marks=pytest.mark.slow),
    pytest.param(FLOOR, "2</dev/null", 0, b"", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("line", "redirected", "status", "said"), CLOSED)
def test_streams_that_are_closed_or_full(line, redirected, status, said, tmp_path):
    if "full" in redirected and not Path("/dev/full").is_char_device():
        pytest.skip("without the device, the shell would make a file of this name")
    found, _, err = satlab(line, tmp_path, redirected)
    assert (found, err[: len(said)]) == (status, said)
    assert said or not err


@pytest.mark.slow
def test_what_is_opened_does_not_get_what_is_said(tmp_path):
    assert satlab("generate demo-hmm --sentences 20 --out open", tmp_path)[0] == 0
    assert satlab("generate demo-hmm --sentences 20 --out closed", tmp_path, ">&- 2>&- <&-")[0] == 0
    for name in ("shard-00000.parquet", "language.npz"):
        assert (tmp_path / "closed" / name).read_bytes() == (tmp_path / "open" / name).read_bytes()


@pytest.mark.slow
def test_help_without_docstrings(tmp_path):
    for line in ("--help", "train --help"):
        assert satlab(line, tmp_path, PYTHONOPTIMIZE="2") == satlab(line, tmp_path)


def test_a_working_directory_that_is_gone(tmp_path):
    line = "cd gone && rmdir ../gone && exec " + shlex.quote(sys.executable) + " -m satlab floor demo-hmm"
    (tmp_path / "gone").mkdir()
    done = subprocess.run(["bash", "-c", line], check=False, capture_output=True, text=True, cwd=tmp_path, timeout=180)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "satlab: the working directory no longer exists; change to one that does\n"


SMALL = "--steps 2 --batch-size 4 --evaluation-sentences 20 --model bert-post-1x8"
NAMED = b"r\xff"


@pytest.mark.slow
def test_directories_that_are_not_utf_8(tmp_path):
    folder = os.fsdecode(NAMED)
    for line in (
        r"generate demo-pcfg --sentences 20 --out $'c\xff'",
        r"verify $'c\xff'",
        r"evaluate $'r\xff' --sentences 20",
        r"plot $'r\xff'",
        r"report $'r\xff'",
        r"export $'r\xff' --out $'e\xff'",
        r"widen $'r\xff' --to bert-post-1x16 --out $'w\xff'",
    ):
        if line.startswith("evaluate"):
            trained = subprocess.run(
                ["bash", "-c", rf"{shlex.quote(sys.executable)} -m satlab train $'c\xff' --out $'r\xff' {SMALL}"],
                check=False,
                capture_output=True,
                cwd=tmp_path,
                timeout=180,
            )
            assert json.loads(trained.stdout)["run"] == folder
        # A warning that the run is not saturated, and where the results are.
        status, out, _ = satlab(line, tmp_path, most=2)
        assert status == 0
        if line.startswith("plot"):
            assert json.loads(out.splitlines()[0]) == {"figure": f"{folder}/figures/kl_vs_step.png"}


def test_what_an_encoding_lacks_is_escaped_and_names_keep_their_bytes():
    text = "caf\u00e9 \udcff \U0001f600"
    assert text.encode("ascii", AS_GIVEN) == rb"caf\xe9 " + b"\xff" + rb" \U0001f600"
    assert text.encode("utf-8", AS_GIVEN) == "caf\u00e9 ".encode() + b"\xff " + "\U0001f600".encode()
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", AS_GIVEN)
