"""The machine code of kernels on disk: what processes that start together compile, and what they say."""

import fcntl
import subprocess
import sys
import time

import pytest

from satlab.generators.kernels import jit

KERNEL = """
from satlab.generators.kernels.jit import compiled_pass

@compiled_pass
def double(x):
    return 2 * x
"""

PROGRAM = """
import sys, time
from pathlib import Path
from satlab.generators.kernels import jit

folder, name = Path(sys.argv[1]), sys.argv[2]
jit.FOLDER = folder / "code"
jit.FOLDER.mkdir(exist_ok=True)
sys.path.insert(0, str(folder))
from kernel import double

save = jit.Kept.save_overload
def slowly(*arguments):
    time.sleep(1)
    save(*arguments)
jit.Kept.save_overload = slowly

(folder / f"ready-{name}").touch()
while len(list(folder.glob("ready-*"))) < 2:
    time.sleep(0.01)
assert double(21) == 42
print(sum(double.stats.cache_misses.values()))
"""


def test_of_two_processes_that_start_together_one_compiles(tmp_path):
    (tmp_path / "kernel.py").write_text(KERNEL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path, name], **pipes) for name in "ab"]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0], said
    assert sorted(out.strip() for out, _ in said) == ["0", "1"]
    # One that comes late, on a busy machine, finds the code and has nothing to say.
    line = "satlab: compiling for this machine, once; up to two minutes\n"
    assert {err for _, err in said} in ({line}, {line, ""})


def test_who_waits_too_long_compiles_without_its_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "FOLDER", tmp_path)
    monkeypatch.setattr(jit.Turn, "PATIENCE", 0.3)
    turn = jit.Turn()
    with (tmp_path / "compiling").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        begun = time.monotonic()
        turn.begin()
        assert 0.3 <= time.monotonic() - begun < 30
    turn.end()
    assert turn.depth == 0


def test_the_turn_ends_with_the_outermost_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(jit, "FOLDER", tmp_path)
    turn = jit.Turn()
    turn.begin()
    turn.begin()
    turn.end()
    with (tmp_path / "compiling").open("w") as file:
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        turn.end()
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
