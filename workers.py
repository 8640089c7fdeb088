"""Work done side by side by processes of this machine: each with one thread, and none outlives the one it works for."""

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

from .errors import WorkerError

T = TypeVar("T")

START_UP = 4.0
"""Seconds of work from which starting processes pays: most of it, they import torch."""

ATTEMPTS = 3
"""How often in a row a job's worker may die before the job is given up."""

ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""What the numerical libraries of a worker read when it starts."""

if sys.platform == "linux":
    # The C library keeps 64 MiB between one job and the next: to give them back and ask again costs a shard 7 % more time.
    ENVIRONMENT["MALLOC_TOP_PAD_"] = str(2**26)


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def process_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Freshly started processes with one thread each.

    They end where the block ends, or this process dies, however that happens: at once, in the middle of what they do.
    """
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    context = multiprocessing.get_context("spawn")
    watched, held = context.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, context, _begin, (watched,))
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
    """Starts the processes, deaf to Ctrl-C until `_begin`: an import that it interrupts would say so at length."""
    with _deaf():
        for _ in range(workers):
            pool.submit(int)


@contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C waits until the block has ended; processes that it starts go on waiting."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(watched: Connection) -> None:
    # Ctrl-C reaches this process too; the one that started it says what there is to say.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def watch() -> None:
        watched.poll(None)  # until its other end is closed, by that process or by its death
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def in_order(
    function: Callable[..., T],
    jobs: Sequence[tuple[Any, ...]],
    workers: int | None = None,
    here: Callable[..., T] | None = None,
) -> Generator[T, None, None]:
    """function(*job) for every job, yielded in their order.

    workers=1 does them in this process, by here(*job) where that is given. workers=None does so too as long as they are
    seen to take less time than it takes to start processes, and then uses all cores. A job whose worker is killed is
    done again.

    Raises WorkerError where workers die ATTEMPTS times in a row and nothing is finished in between, and whatever
    function raises.
    """
    here = here or function
    if workers is None:
        done, begin = 0, time.perf_counter()
        while done < len(jobs) and (time.perf_counter() - begin) / max(1, done) * (len(jobs) - done) < START_UP:
            yield here(*jobs[done])
            done += 1
        jobs, workers = jobs[done:], cores()
    if workers == 1 or len(jobs) < 2:
        for job in jobs:
            yield here(*job)
        return
    done = attempts = 0
    while done < len(jobs):
        try:
            for result in _side_by_side(function, jobs[done:], workers):
                yield result
                done, attempts = done + 1, 0
        except BrokenProcessPool:
            attempts += 1
            if attempts == ATTEMPTS:
                raise WorkerError(
                    f"worker processes were killed {ATTEMPTS} times in a row (out of memory?); what was finished is kept: "
                    "run the same command again, with fewer --workers"
                ) from None


def _side_by_side(function: Callable[..., T], jobs: Sequence[tuple[Any, ...]], workers: int) -> Iterator[T]:
    """Keeps two jobs a worker under way, and no more: results wait in memory until those before them are taken."""
    with process_pool(min(workers, len(jobs))) as pool:
        upcoming = iter(jobs)
        waiting: deque[Future[T]] = deque(pool.submit(function, *job) for job in islice(upcoming, 2 * workers))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, *job) for job in islice(upcoming, 1))
            yield result
