"""The smallest study, done once for all its tests."""

import fcntl

import pytest
from matplotlib.figure import Figure
from support.studies import write

from satlab.lab.cli import main as cli


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id):
    """The directory of the study, done by the first process of the tests that asks for it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "study"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "finished").exists():
            assert cli.run(write(folder)) == 0
            (folder / "finished").touch()
    return folder / "out"


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch):
    """A test's own figures are files of one word. The studies that tests share still draw real ones."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **options: file.write(b"drawn"))
