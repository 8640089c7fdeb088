"""Runs jobs in parallel processes of this machine. Each has one thread, and none outlives its parent process."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from ..errors import InputError, WorkerError

T = TypeVar("T")

START_UP = {"fork": 0.2, "spawn": 4.0}
"""Seconds of work above which it pays to start processes. Spawned processes have to import torch first."""

ATTEMPTS = 3
"""The number of worker deaths in a row after which the work is given up."""

MOST_A_CORE = 8
"""The largest number of processes per processor."""

ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Environment variables that the numerical libraries of a worker read at its start."""

TOP_PAD, KEPT = -2, 2**26
"""mallopt's M_TOP_PAD, and the bytes that a worker keeps between jobs. Without it, writing a shard takes 7 % longer."""


def cores() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def check_workers(workers: int) -> None:
    """Raises InputError for fewer than one process, and for more than MOST_A_CORE processes for each processor."""
    most = MOST_A_CORE * cores()
    if not 1 <= workers <= most:
        raise InputError(
            f"{workers} workers: expected 1 to {most} ({MOST_A_CORE} for each of the {cores()} processors "
            "here); give another number, or leave it out to use all processors"
        )


def start_method() -> str:
    """How to start processes: by fork if that is safe, else by spawn.

    A forked process starts at once, with everything that this process has loaded. A spawned process has to load it
    again. Fork is safe on Linux as long as there is no other Python thread and the GPU is not in use.

    Returns:
        "fork" or "spawn".
    """
    torch = sys.modules.get("torch")
    alone = threading.active_count() == 1 and not (torch and torch.cuda.is_initialized())
    return "fork" if sys.platform == "linux" and alone else "spawn"


@contextmanager
def process_pool(
    workers: int, task: Callable[..., Any] | None = None, method: str = "spawn", preload: Sequence[str] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Processes with one thread each. They end at once when the block ends or this process dies.

    Args:
        workers: number of processes.
        task: the function that `_do` calls in these processes.
        method: "fork", "spawn", or "forkserver": on Linux, processes are then forked from a clean one that this process
            starts once, and that imports `preload` once for all.
        preload: names of modules.

    Yields:
        The pool.
    """
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    if method == "forkserver" and sys.platform != "linux":
        method = "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload(list(preload))
    watched, held = context.Pipe(duplex=False)
    # A forked process inherits both ends of the pipe. It must close `held`, or it would never notice our death.
    given = (watched, held if method == "fork" else None, task, dict(os.environ))
    pool = ProcessPoolExecutor(workers, context, _begin, given)
    try:
        _start(pool, workers)
        yield pool
    finally:
        held.close()
        pool.shutdown(cancel_futures=True)
        watched.close()
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


def _start(pool: ProcessPoolExecutor, workers: int) -> None:
    """Starts the processes. They ignore Ctrl-C until `_begin`, because an interrupted import prints a traceback."""
    with _deaf():
        for _ in range(workers):
            pool.submit(int)


@contextmanager
def _deaf() -> Iterator[None]:
    """Delays Ctrl-C until the end of the block. Processes that the block starts continue to delay it."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_task: Callable[..., Any] | None = None
"""In a worker process: the function that it runs."""


def _begin(
    watched: Connection, held: Connection | None, task: Callable[..., Any] | None, environment: dict[str, str]
) -> None:
    global _task
    _task = task
    # A server of forks still has the environment in which it was started.
    if os.environ != environment:
        os.environ.clear()
        os.environ.update(environment)
    if held is not None:
        held.close()
    # Ctrl-C reaches this process too; the process that started it prints the message.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if "torch" in sys.modules:
        # A forked process has none of its parent's threads, so torch must not rely on them.
        sys.modules["torch"].set_num_threads(1)
    if sys.platform == "linux" and hasattr(ctypes.CDLL(None), "mallopt"):
        ctypes.CDLL(None).mallopt(TOP_PAD, KEPT)

    def watch() -> None:
        watched.poll(None)  # until the parent process closes the other end or dies
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _do(*job: Any) -> Any:
    assert _task is not None
    return _task(*job)


def in_order(
    function: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    workers: int | None = None,
    here: Callable[..., T] | None = None,
) -> Generator[T, None, None]:
    """Calls a function for every job, in parallel. A job is repeated if its worker is killed.

    Args:
        function: called with the arguments of a job.
        jobs: tuples of arguments.
        workers: number of processes. With 1, all jobs run in this process. With None, jobs run in this process while
            the remaining ones would take less time than starting processes; after that, all cores are used.
        here: the same function for this process and for processes forked from it; `function` unless given.

    Yields:
        The results, in the order of the jobs.

    Raises:
        WorkerError: if workers die ATTEMPTS times in a row without finishing a job in between. Errors of the function
            itself are passed on.
    """
    here = here or function
    if workers is None:
        done, begin, start_up = 0, time.perf_counter(), START_UP[start_method()]
        while done < len(jobs) and (time.perf_counter() - begin) / max(1, done) * (len(jobs) - done) < start_up:
            yield here(*jobs[done])
            done += 1
        jobs, workers = jobs[done:], cores()
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield here(*job)
        return
    done = attempts = 0
    while done < len(jobs):
        method = start_method()
        try:
            for result in _side_by_side(here if method == "fork" else function, jobs[done:], workers, method):
                yield result
                done, attempts = done + 1, 0
        except BrokenProcessPool:
            attempts += 1
            if attempts == ATTEMPTS:
                raise WorkerError(
                    f"worker processes were killed {ATTEMPTS} times in a row (out of memory?); finished work is kept; "
                    "run the same command again with fewer workers"
                ) from None


def _side_by_side(
    function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int, method: str
) -> Iterator[T]:
    """Submits at most two jobs for each worker in advance, because results wait in memory for earlier ones."""
    with process_pool(min(workers, len(jobs)), function, method) as pool:
        upcoming = iter(jobs)
        waiting: deque[Future[T]] = deque(pool.submit(_do, *job) for job in islice(upcoming, 2 * workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(_do, *job) for job in islice(upcoming, 1))
            yield result
