"""Where the cells of a study are worked off: processes of this machine, or tasks of a Ray cluster."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, nullcontext
from multiprocessing import active_children
from pathlib import Path
from typing import Any, Protocol

from ...errors import WorkerError, unknown
from ...system.processes import process_pool
from ...system.ray_cluster import cluster_pool, connection
from ...system.signals import StopRequest
from ..file_names import STUDY_FILE
from .config import StudyConfig

ENGINES = ("local", "ray")

NEEDED = (f"{__package__}.jobs", "torch._dynamo")
"""What the cells import, now or when they begin: five seconds, once for all workers. torch's optimisers import the
second, two of the five, though they do not use it."""


class Pool(Protocol):
    """What takes cells."""

    def submit(self, function: Callable[..., float], /, *arguments: Any) -> "Future[float]":
        """Has the function called; its result is what it returns."""


def check_engine(engine: str) -> None:
    """Checks the name of an engine: an InputError for one that does not exist."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)


@contextmanager
def reached(engine: str) -> Iterator[None]:
    """Keeps the cluster connected while the block lasts.

    Args:
        engine: local, for which nothing is to be connected, or ray.

    Yields:
        Nothing.

    Raises:
        InputError: where there is no cluster, or no such engine.
    """
    check_engine(engine)
    with connection() if engine == "ray" else nullcontext():
        yield


@contextmanager
def pool_of(engine: str, study: StudyConfig, out: Path, stop: StopRequest) -> Iterator[Pool]:
    """A pool of the study's workers. Where the block ends because it is to stop, trainings first keep where they are.

    Args:
        engine: local, for processes of this machine; ray, for as many tasks as the cluster has room for, with a GPU
            each if the study asks for one.
        study: its settings.
        out: its directory.
        stop: whether it is to stop.

    Yields:
        The pool.

    Raises:
        WorkerError: where a worker is killed though nothing was asked to stop.
    """
    if engine == "local":
        with _stopping_well(study.num_workers, stop) as pool:
            yield pool
    else:
        with cluster_pool(study.workers, 0 if study.device == "cpu" else 1) as tasks:
            yield _Shared(tasks, out)


class _Shared:
    """Cells on machines that must see the study's directory."""

    def __init__(self, tasks: Pool, out: Path) -> None:
        self.tasks, self.out = tasks, out

    def submit(self, function: Callable[..., float], /, *arguments: Any) -> "Future[float]":
        return self.tasks.submit(_where_it_is_seen, self.out, function, *arguments)


def _where_it_is_seen(out: Path, function: Callable[..., float], *arguments: Any) -> float:
    if not (out / STUDY_FILE).is_file():
        raise WorkerError(
            f"{out}: not there on the machine {socket.gethostname()}, expected a directory that all machines of the "
            "cluster share; choose another --out"
        )
    return function(*arguments)


@contextmanager
def _stopping_well(workers: int, stop: StopRequest) -> Iterator[ProcessPoolExecutor]:
    """Worker processes. Where the block ends because it is to stop, their trainings first keep where they are.

    Args:
        workers: how many.
        stop: whether to stop.

    Yields:
        The pool.

    Raises:
        WorkerError: where a worker is killed though nothing was asked to stop.
        BrokenProcessPool: within, once the other workers have ended.
    """
    try:
        with process_pool(workers, method="forkserver", preload=NEEDED) as pool:
            try:
                yield pool
                if stop():
                    for worker in active_children():
                        worker.terminate()
            except BrokenProcessPool:
                # The pool has asked the other workers to end, with SIGTERM.
                pool.shutdown(cancel_futures=True)
                raise
            pool.shutdown(cancel_futures=True)
    except BrokenProcessPool:
        if not stop():
            raise WorkerError(
                "a worker process was killed (out of memory?); run the same command again to go on"
            ) from None
