"""Shared by all tests: one thread, so that run times and rounding do not depend on the machine, and a recorder."""

import gc
import os
import shutil
import signal
from pathlib import Path

import pytest
import torch
from support.commands import check_one_line, listing, said_by, strict
from support.ray_cluster import cluster

from satlab.generators.kernels import jit
from satlab.lab.measurements import flatness, kl
from satlab.models import build

__all__ = ["cluster"]

torch.set_num_threads(1)
# Modules and collected tests, a million objects, live to the end: looking through them for garbage takes a tenth of the
# time.
gc.disable()
# Flushing checkpoints to a disk takes two fifths of the time of the tests of training. In memory it takes none.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))
# What a command says must not depend on whether its kernels are compiled already.
jit.say_that_this_takes_time = lambda: None
# A shell that starts the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish():
    gc.freeze()
    gc.enable()


class Recorder:
    """The language, with every sample that is drawn from it kept."""

    def __init__(self, language):
        self.language, self.drawn = language, []

    def __getattr__(self, name):
        return getattr(self.language, name)

    def sample(self, *arguments, **options):
        self.drawn.append(self.language.sample(*arguments, **options))
        return self.drawn[-1]


@pytest.fixture
def record():
    """record(language).drawn: the samples drawn from it since."""
    return Recorder


@pytest.fixture
def satlab(tmp_path, monkeypatch, capsys):
    """satlab(line, status=0) runs a command in an empty directory; what it says on stdout and on stderr."""
    monkeypatch.chdir(tmp_path)
    return lambda words, status=0: said_by(capsys, words, status)


@pytest.fixture
def printed(satlab):
    """printed(line, status=0): the same, as (rows on stdout, stderr)."""

    def run(words, status=0):
        out, err = satlab(words, status)
        return [strict(row) for row in out.splitlines()], err

    return run


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """refused(line, *fragments): the line with which a command ends that writes nothing into its directory."""
    monkeypatch.chdir(tmp_path)

    def run(words, *fragments, status=2):
        before = listing(tmp_path)
        line = check_one_line(said_by(capsys, words, status), *fragments)
        assert listing(tmp_path) == before
        return line

    return run


@pytest.fixture
def no_model(monkeypatch):
    """Whoever loads a model fails."""

    def refuse(*_):
        raise AssertionError("a model was loaded")

    for module in (build, flatness, kl):
        monkeypatch.setattr(module, "load_model", refuse)
