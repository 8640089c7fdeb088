"""Work side by side: whoever is killed, in forked processes and in spawned ones, and none is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import pytest
import torch
from support import TESTS
from support.jobs import gone, process_and_threads, squared_or_killed

from satlab.errors import InputError, WorkerError
from satlab.system import processes as workers

METHODS = ["fork", pytest.param("spawn", marks=pytest.mark.slow)]
"""Spawned processes load torch, each for itself: those of one test whose jobs are done, and of one that is killed."""


@pytest.fixture(params=METHODS)
def method(request, monkeypatch):
    if request.param == "fork" and sys.platform != "linux":
        pytest.skip("forks on Linux alone")
    monkeypatch.setattr(workers, "start_method", lambda: request.param)
    return request.param


@pytest.mark.parametrize("method", ["fork", "spawn"], indirect=True)
def test_the_job_of_a_killed_worker_is_done_again(tmp_path, method):
    jobs = [(k,) for k in range(7)]
    assert list(workers.in_order(partial(squared_or_killed, tmp_path), jobs, 2)) == [k * k for k in range(7)]
    assert (tmp_path / "died").exists()


def test_a_job_that_kills_every_worker_is_given_up_and_what_came_before_is_kept(tmp_path, method):
    found = []
    with pytest.raises(WorkerError, match="killed 3 times in a row"):
        found.extend(workers.in_order(partial(squared_or_killed, tmp_path), [(4,), (5,), (7,)], 2))
    # extend keeps what came before the error
    assert found == [16, 25]


def test_an_error_in_a_worker_is_the_callers(method):
    with pytest.raises(InputError, match="nine"):
        list(workers.in_order(partial(squared_or_killed, None), [(9,), (1,)], 2))


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def test_processes_are_started_only_where_that_pays(monkeypatch, method, two_threads):
    jobs = [(k,) for k in range(8)]
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert {process for process, _ in workers.in_order(process_and_threads, jobs)} == {os.getpid()}
    monkeypatch.setitem(workers.START_UP, method, 0.0)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    found = set(workers.in_order(process_and_threads, jobs))
    assert os.getpid() not in {process for process, _ in found}
    assert {threads for _, threads in found} == {("1", 1)}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert set(workers.in_order(process_and_threads, jobs[:1])) == {(os.getpid(), ("7", 2))}


ASLEEP = """
import pathlib, sys
from functools import partial
sys.path.append(sys.argv[1])
from support.jobs import asleep
from satlab.system import processes as workers
from satlab.system.processes import in_order
workers.start_method = lambda: sys.argv[3]
if __name__ == "__main__":
    try:
        list(in_order(partial(asleep, pathlib.Path(sys.argv[2])), [(k,) for k in range(9)], 2))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("how", "method"),
    [
        (signal.SIGINT, "fork"),
        (signal.SIGKILL, "fork"),
        pytest.param(signal.SIGKILL, "spawn", marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, "spawn", marks=pytest.mark.slow),
    ],
    indirect=["method"],
)
def test_workers_end_with_the_process_they_work_for(tmp_path, how, method):
    (tmp_path / "asleep.py").write_text(ASLEEP)
    command = [sys.executable, str(tmp_path / "asleep.py"), str(TESTS), str(tmp_path), method]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)
    while len(list(tmp_path.glob("begun-*"))) < 2:
        assert process.poll() is None
        time.sleep(0.01)
    if how is signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does
    else:
        process.kill()
    said = process.communicate(timeout=180)[1]
    assert said == b"interrupted\n" or how is signal.SIGKILL
    assert gone(process.pid)


def test_a_process_is_forked_only_where_nothing_else_runs_in_it(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(threading, "active_count", lambda: 1)
    assert workers.start_method() == "fork"
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert workers.start_method() == "spawn"
    monkeypatch.undo()
    stop = threading.Event()
    other = threading.Thread(target=stop.wait)
    other.start()
    assert workers.start_method() == "spawn"
    stop.set()
    other.join()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert workers.start_method() == "spawn"
