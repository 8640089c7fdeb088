"""A short training run by the command line, what of it must be equal to the last bit, and ways to disturb it."""

import json
import os
import select
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from satlab.lab.cli import main as cli
from support.hints import without_hint
from support.words import CLOCK

SHORT = (
    "train demo-hmm --model bert-1x8 --steps 14 --batch-size 8 --lr 3e-3 --checkpoints [4] --evaluate-every 3 "
    "--evaluate-growth 1 --resume-every 4 --evaluation-sentences 40 --stop-at-saturation false --dropout 0.1"
)
"""Checkpoints: 4 (kept), 8, 12, 14 (the last); rows: 3, 4, 6, 9, 12, 14."""

RESET = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""Whoever starts the tests in the background has them ignore Ctrl-C."""


def command(line, folder):
    return [*shlex.split(line), "--out", str(folder)]


def outcome(folder):
    """All that a run leaves, without what the clock says; of the checkpoints, those that are kept."""
    found = {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    rows = [json.loads(line) for line in found.pop("metrics.jsonl").splitlines()]
    return found, [{key: value for key, value in row.items() if key not in CLOCK} for row in rows]


def steps_of(folder):
    return [int(path.name[5:]) for path in sorted((folder / "checkpoints").glob("step-*"))]


def start(arguments, before="pass"):
    """The command in a process, and a group, of its own, after the statements `before`."""
    code = f"{RESET}\n{before}\nfrom satlab.lab.cli.main import main\nmain()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        text=True,
    )


NURSERY = """
import json, os, sys
from satlab.lab.cli.main import main
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        sys.argv[1:] = json.loads(line)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        main()
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


class Nursery:
    """A process that has loaded satlab, and the parent of those that run its commands: they begin at once."""

    def __init__(self, before):
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"{before}\n{NURSERY}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            start_new_session=True,
            bufsize=0,
        )

    def start(self, arguments):
        return Child(self.process, arguments)


class Child:
    """As much as is needed here of what `subprocess.Popen` is."""

    def __init__(self, parent, arguments):
        self.output = parent.stdout
        parent.stdin.write(json.dumps(arguments).encode() + b"\n")
        self.pid = int(self.output.readline())

    def poll(self):
        return self.wait() if select.select([self.output], [], [], 0)[0] else None

    def kill(self):
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def communicate(self):
        return None, None

    def wait(self):
        return os.waitstatus_to_exitcode(int(self.output.readline()))


def wait_until(true, process, looks=100_000):
    """Looks again and again, at least every millisecond; a machine that sleeps in between does not count."""
    for _ in range(looks):
        if true():
            return
        if process.poll() is not None:
            pytest.fail(f"ended by itself: {process.communicate()}")
        time.sleep(0.001)
    pytest.fail("waited in vain")


def end(process):
    """Ends the process and its group, if they are still there."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def go_on(folder, capsys):
    """The warnings about checkpoints with which the run goes on to its end."""
    capsys.readouterr()
    assert cli.run(command(SHORT, folder)) == 0
    lines = without_hint(capsys.readouterr().err).splitlines()
    return [line for line in lines if not line.startswith("step ") and "not saturated" not in line]


def run_stopped_at(step, folder, monkeypatch, line=SHORT, number=signal.SIGTERM):
    """The exit status of the command, in this process, that gets a signal in this step."""
    from satlab.lab.cli.progress import TrainingProgress

    on_step = TrainingProgress.on_step

    def then(self, now, loss):
        on_step(self, now, loss)
        if now == step:
            os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr(TrainingProgress, "on_step", then)
        return cli.run(command(line, folder))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the undisturbed run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "r"
    assert cli.run(command(SHORT, folder)) == 0
    return outcome(folder)


@pytest.fixture
def small_disk(tmp_path):
    """A directory that is a disk of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs to mount a file system")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], check=False).returncode:
        pytest.skip("cannot mount a file system here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)
