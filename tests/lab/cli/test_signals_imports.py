"""A signal in the middle of an import waits until it is done; then the work ends in one line."""

import signal
import subprocess
import sys
import textwrap
import time

import pytest
from support.disturbed import RESET

from satlab.system.signals import SignalError, StopRequest

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGUSR1: "SIGUSR1"}

START = f"""
{RESET}
import importlib.abc, importlib.util, os, runpy, sys, time

class Command(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path, target=None):
        if name == "satlab.lab.cli.main":
            return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module):
        import satlab.lab.cli.exit
        for number in NUMBERS:
            os.kill(os.getpid(), number)
            time.sleep(0.6 if number == signal.SIGINT else 0)
        module.main = lambda: print("began")
        print("loaded")

sys.meta_path.insert(0, Command())
runpy.run_module("satlab", run_name="__main__")
"""
"""`python -m satlab`, whose command is one that sends signals while it is loaded, in a fraction of a second."""


@pytest.mark.parametrize(
    "sent",
    [
        [],
        [signal.SIGTERM],
        [signal.SIGINT] * 2,
        *[pytest.param([number], marks=pytest.mark.slow) for number in (signal.SIGINT, signal.SIGUSR1)],
    ],
)
def test_a_signal_while_the_command_is_loaded(sent):
    code = START.replace("NUMBERS", repr([int(number) for number in sent]))
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=180)
    if not sent:
        assert (done.returncode, done.stdout, done.stderr) == (0, "loaded\nbegan\n", "")
        return
    assert (done.returncode, done.stdout) == (128 + sent[0], "loaded\n")
    assert done.stderr == f"satlab: stopped at once by {NAMES[sent[0]]}; run the same command again to go on\n"


@pytest.fixture
def library(tmp_path, monkeypatch):
    """Writes a module that sends itself a signal while it is imported; its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(number, then="time.sleep(0.2)"):
        name = f"library_{number}_{tmp_path.name}"
        code = f"""
        import os, time
        os.kill(os.getpid(), {int(number)})
        {then}
        whole = True
        """
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code))
        return name

    return write


@pytest.mark.parametrize("number", NAMES)
def test_work_that_ends_at_once_first_ends_its_import(library, number, capfd):
    name, begin = library(number), time.monotonic()

    def work():
        with StopRequest():
            __import__(name)
            time.sleep(20)

    with pytest.raises(SignalError, match=f"^stopped at once by {NAMES[number]}; ") as caught:
        work()
    assert caught.value.status == 128 + number
    assert time.monotonic() - begin < 10
    assert sys.modules[name].whole
    assert capfd.readouterr().err == ""


def test_work_that_is_done_with_its_last_import_ends_so_too(library):
    name = library(signal.SIGTERM, "pass")
    with pytest.raises(SignalError, match=r"^stopped at once by SIGTERM; "), StopRequest():
        __import__(name)
    time.sleep(0.2)


def test_work_that_asks_after_the_import_stops_in_good_order(library):
    name = library(signal.SIGTERM, "pass")
    with StopRequest() as stop:
        __import__(name)
        assert stop()
        time.sleep(0.3)


def test_a_block_that_an_import_runs_is_no_import_itself(tmp_path, monkeypatch):
    """What is imported around the block, as by a script that is a module, does not hold a signal back."""
    monkeypatch.syspath_prepend(tmp_path)
    code = f"""
    import os, time
    from satlab.system.signals import SignalError, StopRequest
    try:
        with StopRequest():
            os.kill(os.getpid(), {int(signal.SIGTERM)})
            time.sleep(5)
    except SignalError as error:
        status = error.status
    """
    (tmp_path / "script_as_module.py").write_text(textwrap.dedent(code))
    begin = time.monotonic()
    assert __import__("script_as_module").status == 143
    assert time.monotonic() - begin < 4
